//! A step of a run, against the one insert that a handler makes which writes down by itself what it has done.
//!
//! A call is one step, or one insert, within a guarded request; what is around it, and the same for both, is not in the
//! latencies. It is in the throughput, which counts the requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cratestack_runtime::{Idempotency, Reservation, StepError, async_trait, idempotent};
use sqlx::PgPool;
use tower::ServiceExt;

use crate::Fallible;
use crate::figure::{Contender, Figure, Limit, Measure};
use crate::load::{Call, Load, drive};
use crate::sample::{Quantity, Sample};
use crate::server::Ours;
use crate::traffic::new_key;

pub fn step(ours: &Arc<Ours>) -> Vec<Figure> {
    let figure = |callers: usize, limit: Option<Limit>| Figure {
        name: format!("step-{callers}"),
        title: format!("a step of a run against an insert of the handler's own, callers: {callers}"),
        callers,
        rate: None,
        contenders: vec![timed("ours, a step", "/steps", ours), timed("an insert", "/inserts", ours)],
        measures: vec![
            Measure::ratio(Quantity::P50, limit),
            Measure::ratio(Quantity::P99, None),
            Measure::ratio(Quantity::Throughput, None),
            Measure::ratio(Quantity::ServerCpu, None),
        ],
    };
    let bound = Some(Limit::AtMost(1.1));
    vec![figure(1, bound), figure(16, bound), figure(64, bound)]
}

fn timed(name: &'static str, path: &'static str, ours: &Arc<Ours>) -> Box<dyn Contender> {
    let state = App { idempotency: Idempotency::new(ours.store()), pool: ours.pool.clone() };
    let router = Router::new().route("/steps", post(one_step)).route("/inserts", post(one_insert)).with_state(state);
    Box::new(Timed { name, path, router, ours: Arc::clone(ours) })
}

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    pool: PgPool,
}

/// How long the part took that is measured, in nanoseconds.
const TOOK: &str = "x-took";

/// What a provider answers to a charge.
const CHARGE: &str = "ch_3MmlLrLkdIwHu7ix0snN0B15";
const AMOUNT: i64 = 1_200;

fn done(took: Duration) -> Response {
    let took = HeaderValue::from(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    (StatusCode::CREATED, [(TOOK, took)]).into_response()
}

struct Failed(String);

impl From<StepError> for Failed {
    fn from(error: StepError) -> Self {
        Self(error.to_string())
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        eprintln!("{}", self.0);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

#[idempotent]
async fn one_step(reservation: Reservation) -> Result<Response, Failed> {
    let begun = Instant::now();
    let charge = reservation.step("charge", async || Ok::<_, Failed>(CHARGE.to_owned())).await?;
    assert_eq!(charge, CHARGE);
    Ok(done(begun.elapsed()))
}

#[idempotent]
async fn one_insert(State(pool): State<PgPool>) -> Result<Response, Failed> {
    let begun = Instant::now();
    let insert = "INSERT INTO payments (amount, note) VALUES ($1, $2)";
    sqlx::query(insert).bind(AMOUNT).bind(CHARGE).execute(&pool).await?;
    Ok(done(begun.elapsed()))
}

/// A service that says by itself how long it took.
struct Timed {
    name: &'static str,
    path: &'static str,
    router: Router,
    ours: Arc<Ours>,
}

#[async_trait]
impl Contender for Timed {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    async fn prepare(&self) -> Fallible {
        self.ours.empty().await
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let (router, path) = (self.router.clone(), self.path);
        drive(load, move || {
            let router = router.clone();
            async move {
                let request = Request::post(path)
                    .header("authorization", "Bearer 4b1d5f9c2e7a4c55")
                    .header("idempotency-key", new_key())
                    .body(Body::empty())?;
                let response = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
                let took = response.headers().get(TOOK).and_then(|took| took.to_str().ok()?.parse().ok());
                let took = took.ok_or_else(|| format!("answered {}", response.status()))?;
                Ok(Call::Took(Duration::from_nanos(took)))
            }
        })
        .await
    }
}
