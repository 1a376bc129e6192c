//! A service that is killed while its session is in a statement. The server notices only where it looks.

use std::time::Duration;

use cratestack_tests::{
    Client, TestDatabase,
    fleet::{Bank, Books, Setup},
    postgres::PostgresOptions,
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::BANK;

/// A payment that is in a statement for longer than anybody waits.
fn pay(client: Client) -> JoinHandle<()> {
    let order = json!({"key": "k", "amount": 1, "before": 0, "within": 600_000, "after": 0, "declined": false});
    let request = client.post("/waiting/payments").key("k").header("authorization", "Bearer a").json(&order);
    tokio::spawn(async move { drop(request.send().await) })
}

async fn only_session_but(books: &Books, other: Option<i32>) -> i32 {
    for _ in 0..1_000 {
        match *books.sessions().await {
            [session] if Some(session) != other => return session,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("no other session is in the statement");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frees_its_key_where_the_server_looks_for_its_client() {
    let server = PostgresOptions::new().set("client_connection_check_interval", "100ms").start().await;
    let database = TestDatabase::create_on(&server).await;
    let books = Books::on_postgres(database.url()).await;
    let setup = Setup::new(1, false);
    let start = || Bank::start(BANK, database.url(), &setup, 0);
    let (mut dying, other) = (start(), start());
    let first = pay(dying.client());
    let session = only_session_but(&books, None).await;
    dying.kill();
    first.await.unwrap();
    // It waits, and then it runs: the key was had, in a session of its own.
    pay(other.client());
    only_session_but(&books, Some(session)).await;
}
