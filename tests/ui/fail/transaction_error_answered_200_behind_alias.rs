use axum::Json;
use cratestack_runtime::{Tx, idempotent};
use sqlx::Sqlite;

type Outcome<T> = Result<T, Json<&'static str>>;

#[idempotent(transaction)]
async fn pay(tx: Tx<Sqlite>) -> Outcome<String> {
    let _ = tx;
    Err(Json("declined"))
}

fn main() {}
