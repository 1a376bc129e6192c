//! A database whose statements take longer than a lease, and are then carried out.

use std::time::Duration;

use cratestack_tests::{
    TestDatabase,
    fleet::Bank,
    postgres::{PostgresOptions, PostgresServer},
};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    BANK,
    clients::{CHARGES, Manner, Order},
    setup::{AT_ONCE, LEASE, World, all_until_told},
};

/// As with a synchronous standby that is away: what is committed is neither acknowledged nor seen before it is back.
async fn commits_wait(server: &PostgresServer) {
    let mut admin = PgConnection::connect(&server.url()).await.unwrap();
    for statement in ["CREATE TABLE probe (n INT)", "ALTER SYSTEM SET synchronous_standby_names = 'away'"] {
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
    }
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut admin).await.unwrap();
    loop {
        let mut probe = PgConnection::connect(&server.url()).await.unwrap();
        let commit = sqlx::raw_sql("INSERT INTO probe VALUES (1)").execute(&mut probe);
        if timeout(Duration::from_millis(100), commit).await.is_err() {
            return;
        }
    }
}

async fn commits_go_on(server: &PostgresServer) {
    let mut admin = PgConnection::connect(&server.url()).await.unwrap();
    for statement in ["ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
    }
}

/// Each client repeats its request after 1.3 seconds; the first one's reservation is committed, and its answer comes
/// when the lease has ended.
async fn a_reservation_answered_after_its_lease_is_not_run(processes: usize, tuned: bool) {
    let server = PostgresOptions::new().start().await;
    let world = World::on(TestDatabase::create_on(&server).await).await;
    let banks: Vec<_> = (0..processes).map(|_| world.bank(&world.url, 32, tuned)).collect();
    let clients: Vec<_> = banks.iter().map(Bank::client).collect();
    let orders: Vec<_> = (0..10).map(|n| Order::new(CHARGES, format!("k{n}"))).collect();
    commits_wait(&server).await;
    let asking = tokio::spawn({
        let orders = orders.clone();
        let manner = Manner { patience: Duration::from_millis(1_300), pause: Duration::ZERO };
        async move { all_until_told(&clients, &orders, manner).await }
    });
    sleep(LEASE * 2).await;
    commits_go_on(&server).await;
    let told = asking.await.unwrap();
    world.ran_once(&orders, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_answered_after_its_lease_is_not_run_in_one_process() {
    a_reservation_answered_after_its_lease_is_not_run(1, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_answered_after_its_lease_is_not_run_in_two_processes() {
    a_reservation_answered_after_its_lease_is_not_run(2, false).await;
}

/// As while an index is created. The first renewals wait for longer than the lease, and hold all connections meanwhile;
/// the way is free again in a moment in which no other renewal is due.
async fn a_renewal_that_waited_for_a_lock_counts_from_its_write(pool: u64, tuned: bool) {
    const LEASE: Duration = Duration::from_secs(2);
    let world = World::on_postgres().await;
    let holder = Bank::start(BANK, &world.url, &world.setup(pool, tuned).lease(LEASE), 0);
    let other = Bank::start(BANK, &world.url, &world.setup(32, tuned).lease(LEASE), 1);
    let orders: Vec<_> = (0..20).map(|n| Order { after: 5_500, ..Order::new(CHARGES, format!("k{n}")) }).collect();
    let begun = Instant::now();
    let holding = tokio::spawn({
        let (clients, orders) = (vec![holder.client()], orders.clone());
        async move { all_until_told(&clients, &orders, AT_ONCE).await }
    });
    world.have_begun(&orders).await;
    let mut locking = PgConnection::connect(&world.url).await.unwrap();
    let mut lock = locking.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE cratestack_idempotency IN SHARE MODE").execute(&mut *lock).await.unwrap();
    sleep_until(begun + LEASE * 155 / 100).await;
    lock.commit().await.unwrap();
    // What waited in the lock's queue is written; the next renewals of leases that were said to be held are not due
    // yet.
    sleep(LEASE / 5).await;
    let mut told = all_until_told(&[other.client()], &orders, AT_ONCE).await;
    told.extend(holding.await.unwrap());
    world.ran_once(&orders, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_waited_for_a_lock_counts_from_its_write_alone() {
    a_renewal_that_waited_for_a_lock_counts_from_its_write(20, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_waited_for_a_lock_counts_from_its_write_in_a_batch() {
    a_renewal_that_waited_for_a_lock_counts_from_its_write(1, true).await;
}
