//! One insert of the business's own per request: recorded with its outcome in one transaction, against three commits.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use cratestack_axum::idempotency as peer;
use cratestack_runtime::{Idempotency, PostgresStore, Tx, idempotent};
use cratestack_sqlx::SqlxIdempotencyStore;
use cratestack_sqlx::sqlx as sqlx_08;
use sqlx::{PgPool, Postgres};

use super::requests::{Database, Http};
use crate::figure::{Figure, Limit, Measure};
use crate::sample::Quantity;
use crate::server::{Ours, Theirs};
use crate::traffic::{BODY, PRINCIPAL, RETENTION};

pub fn transaction(ours: &Arc<Ours>, theirs: &Arc<Theirs>) -> Vec<Figure> {
    let figure = |callers: usize, least: Option<f64>, over_network: f64, reserved_over_network: f64| Figure {
        name: format!("transaction-{callers}"),
        title: format!("one insert per request, callers: {callers}"),
        callers,
        rate: None,
        contenders: vec![
            on_ours("ours, `transaction`", ours, in_one_transaction(ours.store())),
            Http::on_database(
                "cratestack-sqlx, three commits",
                Database::Theirs(Arc::clone(theirs)),
                in_three_commits(&theirs.pool),
            ),
            on_ours("ours, three commits", ours, around(&ours.pool)),
            on_ours("ours, `transaction` on connections of its own", ours, in_one_transaction(of_its_own(ours))),
        ],
        measures: vec![
            Measure::ratio(Quantity::Throughput, least.map(Limit::AtLeast)).over_network(Limit::AtLeast(over_network)),
            Measure::ratio(Quantity::P50, None),
            Measure::ratio(Quantity::P99, None),
            Measure::ratio(Quantity::Throughput, None).against(2),
            Measure::ratio(Quantity::Throughput, least.map(Limit::AtLeast))
                .of(3)
                .over_network(Limit::AtLeast(over_network)),
            Measure::ratio(Quantity::Throughput, None).of(2).over_network(Limit::AtLeast(reserved_over_network)),
            // One of them is the handler's own.
            Measure::alone(Quantity::Messages, None).of(3).against(3).over_network(Limit::AtMost(MESSAGES)),
        ],
    };
    vec![figure(1, Some(1.2), 0.8, 1.0), figure(16, None, 0.85, 1.1), figure(64, Some(1.1), 1.2, 2.0)]
}

/// Three of the guard, one of the handler, and as much more as a run's ends blur.
const MESSAGES: f64 = 4.05;

fn on_ours(name: &str, ours: &Arc<Ours>, router: Router) -> Box<dyn crate::figure::Contender> {
    Http::on_database(name, Database::Ours(Arc::clone(ours)), router)
}

const INSERT: &str = "INSERT INTO payments (amount, note) VALUES ($1, $2)";
const AMOUNT: i64 = 1_200;
const NOTE: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

fn created() -> Response {
    let headers = [("content-type", "application/json"), ("location", "/payments/8e03978e")];
    (StatusCode::CREATED, headers, BODY.clone()).into_response()
}

fn failed(error: impl std::fmt::Display) -> Response {
    eprintln!("{error}");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[derive(Clone, FromRef)]
struct OneTransaction {
    idempotency: Idempotency<PostgresStore>,
}

fn of_its_own(ours: &Ours) -> PostgresStore {
    ours.store().transaction_connections(ours.pool.options().get_max_connections())
}

fn in_one_transaction(store: PostgresStore) -> Router {
    let idempotency = Idempotency::transactional(store);
    Router::new().route("/payments", post(pay_in_transaction)).with_state(OneTransaction { idempotency })
}

#[idempotent(transaction)]
async fn pay_in_transaction(mut tx: Tx<Postgres>, _body: Bytes) -> Response {
    match sqlx::query(INSERT).bind(AMOUNT).bind(NOTE).execute(&mut *tx).await {
        Ok(_) => created(),
        Err(error) => failed(error),
    }
}

#[derive(Clone, FromRef)]
struct Around {
    idempotency: Idempotency,
    pool: PgPool,
}

fn around(pool: &PgPool) -> Router {
    let idempotency = Idempotency::new(PostgresStore::new(pool.clone()));
    Router::new().route("/payments", post(pay)).with_state(Around { idempotency, pool: pool.clone() })
}

#[idempotent]
async fn pay(State(pool): State<PgPool>, _body: Bytes) -> Response {
    match sqlx::query(INSERT).bind(AMOUNT).bind(NOTE).execute(&pool).await {
        Ok(_) => created(),
        Err(error) => failed(error),
    }
}

fn in_three_commits(pool: &sqlx_08::PgPool) -> Router {
    Router::new().route("/payments", post(pay_in_three)).with_state(pool.clone())
}

/// Leaner than the peer's layer: it buffers nothing, finds no caller, and does not encode headers.
async fn pay_in_three(
    State(pool): State<sqlx_08::PgPool>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    use peer::IdempotencyStore as _;
    let store = SqlxIdempotencyStore::new(pool.clone());
    let Ok(Some(key)) = peer::parse_idempotency_key(&headers) else { return failed("no key") };
    let hash = peer::hash_request(&method, uri.path(), Some("application/json"), &body);
    let reserved = store.reserve_or_fetch(PRINCIPAL, &key, hash, SystemTime::now() + RETENTION).await;
    let Ok(peer::ReservationOutcome::Reserved { token }) = reserved else { return failed("not reserved") };
    if let Err(error) = sqlx_08::query(INSERT).bind(AMOUNT).bind(NOTE).execute(&pool).await {
        return failed(error);
    }
    match store.complete(PRINCIPAL, &key, token, 201, &crate::traffic::HEADERS, &BODY).await {
        Ok(()) => created(),
        Err(error) => failed(error),
    }
}
