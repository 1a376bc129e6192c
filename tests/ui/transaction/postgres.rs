//! Handlers that write in the transaction of their record.

#![deny(warnings)]

use std::future::Future;
use std::pin::Pin;

use axum::extract::{FromRef, FromRequestParts, Json, Path, Query, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Form, Router};
use cratestack_runtime::{Idempotency, InTransaction, PostgresStore, Reservation, Tx, idempotent};
use sqlx::{Connection, PgConnection, Postgres};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency<PostgresStore>,
    plain: Idempotency,
}

#[derive(Clone, serde::Deserialize)]
struct Order {
    id: u64,
}

#[idempotent(transaction)]
async fn alone(_: Tx<Postgres>) {}

#[idempotent(transaction)]
async fn first(mut tx: Tx<Postgres>, Json(order): Json<Order>) -> Result<String, StatusCode> {
    let broken = |_| StatusCode::INTERNAL_SERVER_ERROR;
    sqlx::query("SELECT 1").execute(&mut *tx).await.map_err(broken)?;
    by_connection(&mut tx).await.map_err(broken)?;
    let mut savepoint = tx.begin().await.map_err(broken)?;
    sqlx::query("SELECT 1").execute(&mut *savepoint).await.map_err(broken)?;
    savepoint.commit().await.map_err(broken)?;
    Ok(order.id.to_string())
}

async fn by_connection(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT 1").execute(connection).await.map(drop)
}

#[idempotent(transaction)]
async fn between(State(_): State<App>, mut tx: Tx<Postgres>, _: HeaderMap, _: String) -> StatusCode {
    match sqlx::query("SELECT 1").execute(&mut *tx).await {
        Ok(_) => StatusCode::CREATED,
        Err(_) => StatusCode::BAD_GATEWAY,
    }
}

#[idempotent(transaction)]
async fn last(_: Path<u64>, reservation: Reservation<InTransaction>, _: Tx<Postgres>) -> String {
    reservation.derive("x").to_string()
}

#[idempotent(transaction, state = App, commit = all, isolation = repeatable_read, lease = "10s", wait = "5s", optional)]
async fn with_options(_: Tx<Postgres>, _: String) {}

#[idempotent(transaction, record = success, commit = success, isolation = read_committed, on_store_error = refuse)]
async fn with_defaults(_: Tx<Postgres>) {}

#[idempotent(transaction, retry = 3, isolation = serializable)]
async fn again(
    _: Tx<Postgres>,
    Path(_): Path<u64>,
    Query(_): Query<Order>,
    RawQuery(_): RawQuery,
    State(_): State<App>,
    Form(order): Form<Order>,
) -> Result<String, std::convert::Infallible> {
    Ok(order.id.to_string())
}

#[idempotent(transaction, key = order.id, principal = order.id, fingerprint = order.id)]
async fn keyed(_: Tx<Postgres>, Json(order): Json<Order>) -> String {
    order.id.to_string()
}

type Alias = Tx<Postgres>;

#[idempotent(transaction)]
async fn behind_an_alias(_: Alias) {}

#[idempotent(transaction, retry = 1)]
fn a_future(_: Tx<Postgres>, body: String) -> Pin<Box<dyn Future<Output = String> + Send>> {
    Box::pin(async move { body })
}

#[idempotent(transaction, retry = 2)]
async fn generic<T: FromRef<App> + Clone + Send + Sync + 'static>(State(_): State<T>, _: Tx<Postgres>) {}

#[derive(Clone)]
struct User;

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Ok(Self)
    }
}

impl User {
    #[idempotent(transaction, retry = 2)]
    async fn pays(self, mut tx: Tx<Postgres>) -> Result<StatusCode, StatusCode> {
        sqlx::query("SELECT 1").execute(&mut *tx).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        Ok(StatusCode::CREATED)
    }
}

macro_rules! handler {
    ($name:ident, $database:ty) => {
        #[idempotent(transaction)]
        async fn $name(mut tx: Tx<$database>) -> StatusCode {
            match sqlx::query("SELECT 1").execute(&mut *tx).await {
                Ok(_) => StatusCode::CREATED,
                Err(_) => StatusCode::BAD_GATEWAY,
            }
        }
    };
}

handler!(in_a_macro, Postgres);

#[idempotent]
async fn reserved(_: State<App>) {}

fn main() {
    let _: Router<App> = Router::new()
        .route("/1", post(alone))
        .route("/2", post(first))
        .route("/3", post(between))
        .route("/4", post(last))
        .route("/5", post(with_options))
        .route("/6", post(with_defaults))
        .route("/7", post(again))
        .route("/8", post(keyed))
        .route("/9", post(behind_an_alias))
        .route("/10", post(a_future))
        .route("/11", post(generic::<Idempotency>))
        .route("/12", post(User::pays))
        .route("/13", post(reserved));
    let _: Router<Idempotency<PostgresStore>> = Router::new().route("/", post(in_a_macro));
}
