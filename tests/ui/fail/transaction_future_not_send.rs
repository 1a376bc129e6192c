use cratestack_runtime::{Tx, idempotent};
use sqlx::Sqlite;
use std::rc::Rc;

#[idempotent(transaction)]
async fn pay(tx: Tx<Sqlite>) {
    let total = Rc::new(1);
    std::future::ready(()).await;
    drop((total, tx));
}

fn main() {}
