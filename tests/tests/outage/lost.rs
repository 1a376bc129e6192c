//! What is gone for good: a process with its handlers, or commits with their server.

use std::time::Duration;

use cratestack_tests::{TestDatabase, postgres::PostgresOptions};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    clients::{CHARGES, Heard, Order, PATIENCE, PAYMENTS, send, until_told},
    setup::{AT_ONCE, LEASE, World},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_belongs_to_its_request_also_after_a_crash_and_a_lease() {
    let world = World::on_postgres().await;
    let mut dying = world.bank(&world.url, 4, false);
    let other = world.bank(&world.url, 4, false);
    let order = Order { after: 600, ..Order::new(CHARGES, "k") };
    let first = tokio::spawn({
        let (client, order) = (dying.client(), order.clone());
        async move { send(client, &order, PATIENCE).await }
    });
    world.have_begun(std::slice::from_ref(&order)).await;
    dying.kill();
    assert!(matches!(first.await.unwrap(), Heard::CutOff));
    let (killed, mut heard) = (Instant::now(), Vec::new());
    while killed.elapsed() < LEASE * 3 {
        heard.push(send(other.client(), &order.with_another_amount(), PATIENCE).await);
        sleep(Duration::from_millis(50)).await;
    }
    let told = until_told(&[other.client()], &order, AT_ONCE).await;
    let amounts: Vec<_> = world.ledger.runs("k").into_iter().map(|run| run.amount).collect();
    println!("charges under one key: {amounts:?}");
    let otherwise: Vec<_> = heard.iter().filter(|heard| !matches!(heard, Heard::Conflict)).collect();
    assert!(
        otherwise.is_empty(),
        "{} of {} answers are no 422, the first {:?}",
        otherwise.len(),
        heard.len(),
        otherwise[0]
    );
    assert_eq!(amounts, [order.amount; 2], "the first request itself runs again, and no other");
    assert_eq!(told.outcome().map(|answer| answer.json()["amount"].clone()), Some(order.amount.into()));
}

/// A second after they are lost, nothing that was lost is told from memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_the_server_lost_are_not_replayed_from_memory() {
    let options = PostgresOptions::new().set("synchronous_commit", "off").set("wal_writer_delay", "10s");
    let server = options.set("wal_writer_flush_after", "1GB").start().await;
    let world = World::on(TestDatabase::create_on(&server).await).await;
    let bank = world.bank(&world.url, 4, true);
    let mut admin = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::raw_sql("CHECKPOINT").execute(&mut admin).await.unwrap();
    let orders: Vec<_> = (0..5).map(|n| Order::new(PAYMENTS, format!("k{n}"))).collect();
    for order in &orders {
        for _ in 0..2 {
            let told = until_told(&[bank.client()], order, AT_ONCE).await;
            assert!(told.outcome().is_some(), "{told:?}");
        }
    }
    server.crash().await;
    let lost = Instant::now();
    server.start().await;
    let mut rows = 0;
    for order in &orders {
        rows += world.books.rows(&order.key, false).await.len();
    }
    assert_eq!(rows, 0, "the server was to lose its commits");
    sleep_until(lost + Duration::from_millis(1_100)).await;
    let mut from_memory = 0;
    for order in &orders {
        let told = until_told(&[bank.client()], order, AT_ONCE).await;
        let answer = told.outcome().unwrap_or_else(|| panic!("{told:?}"));
        let there = world.books.rows(&order.key, false).await.iter().any(|row| answer.json()["row"] == row.0);
        from_memory += usize::from(!there);
    }
    println!("{from_memory} of {} payments were told that the database has lost", orders.len());
    assert_eq!(from_memory, 0);
}
