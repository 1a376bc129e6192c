use axum::extract::Request;
use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction, retry = 3)]
async fn pay(_: Tx<Postgres>, _: Request) {}

fn main() {}
