//! Where the transaction may stand, and as what.

#![deny(warnings)]

use axum::extract::{FromRef, Json, Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, InTransaction, Reservation, SqliteStore, Tx, idempotent};
use sqlx::Sqlite;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency<SqliteStore>,
    name: &'static str,
}

type Transaction = Tx<Sqlite>;

async fn write(tx: &mut sqlx::SqliteConnection) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query("DELETE FROM drafts").execute(tx).await?.rows_affected())
}

#[idempotent(transaction)]
async fn alone(mut tx: Tx<Sqlite>) -> Result<String, StatusCode> {
    write(&mut tx).await.map(|count| count.to_string()).map_err(|_| StatusCode::BAD_GATEWAY)
}

#[idempotent(transaction, state = App)]
async fn first(mut tx: Tx<Sqlite>, State(name): State<&'static str>, Json(id): Json<u64>) -> impl IntoResponse {
    (write(&mut tx).await.is_ok(), name, id).1
}

#[idempotent(transaction, ttl = "24h", key = (id, amount), principal = name)]
async fn between(Path(id): Path<u64>, mut tx: Transaction, State(name): State<&'static str>, Json(amount): Json<u64>) {
    drop((write(&mut tx).await, id, name, amount));
}

#[idempotent(transaction)]
async fn last(reservation: Reservation<InTransaction>, mut tx: Tx<Sqlite>) -> Result<impl IntoResponse, impl IntoResponse> {
    match write(&mut tx).await {
        Ok(_) => Ok(reservation.key().to_owned()),
        Err(_) => Err(StatusCode::BAD_GATEWAY),
    }
}

#[idempotent(transaction)]
fn plain(mut tx: Tx<Sqlite>) -> impl Future<Output = StatusCode> + Send {
    let status = StatusCode::CREATED;
    async move { if write(&mut tx).await.is_ok() { status } else { StatusCode::BAD_GATEWAY } }
}

struct Shop;

impl Shop {
    #[idempotent(transaction)]
    async fn pay(mut tx: Tx<Sqlite>) -> String {
        let Self = Self;
        format!("{:?}", write(&mut tx).await)
    }
}

fn main() {
    let _: Router<App> = Router::new()
        .route("/0", post(alone))
        .route("/1", post(first))
        .route("/2", post(between))
        .route("/3", post(last))
        .route("/4", post(plain))
        .route("/5", post(Shop::pay));
}
