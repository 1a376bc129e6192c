//! Three processes of a service whose keys lie on a Cluster, and 64 clients that pay, while the Cluster changes under
//! them and the processes die.
//!
//! ```text
//! clients   │ pay, and ask until they have an answer; one in four asks twice at once
//! services  │ now and then one is killed, and another one takes its place
//! slots     │ move from primary to primary ─────────────────────────────────────────────────────────────
//! primaries │ stay                                │ one is lost ── its replica takes over ── it comes back
//! audit     │              every key asked again ─┘                     every key asked again, at the end ─┘
//! ```
//!
//! The effects are lines of a file, which knows nothing of Redis. They are compared with what clients were told, and
//! what is promised is asserted (`books`): nothing is lost, and no client sees another's payment; nothing is doubled but
//! in the window that every reservation leaves, while no primary is lost, and where the replicas acknowledge what is
//! written. Where they do not, what a lost primary costs is counted and told.
//!
//! `FLEET_SECONDS` sets how long clients pay, both parts together, and `SEED` everything that is left to chance.

#![allow(clippy::unwrap_used)]

mod banks;
mod books;
mod clients;
mod operator;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cratestack_tests::{
    RedisOptions,
    fleet::{Ledger, Rng, Setup, seed, setting},
    redis::Fsync,
};
use tokio::task::JoinSet;

use self::{
    banks::Banks,
    books::{Book, Books},
    clients::{Payment, Shop},
    operator::Operator,
};

const CLIENTS: u64 = 64;
const SERVICES: usize = 3;
/// Longer than a replica needs to take over, so that no reservation ends meanwhile.
const LEASE: Duration = Duration::from_secs(8);
const FEW_SECONDS: u64 = 16;

/// What clients do while `operator` does what it does, and then the audit.
async fn part(shop: &Arc<Shop>, number: u64, seconds: Duration, operated: impl Future<Output = ()>) -> Vec<Payment> {
    let end = Instant::now() + seconds;
    let mut paying = JoinSet::new();
    for client in 0..CLIENTS {
        let rng = Rng::of_round(shop.seed, number * 1_000 + client);
        paying.spawn(clients::pay_until(Arc::clone(shop), format!("{number}-{client}"), rng, end));
    }
    let killing =
        tokio::spawn(banks::kill_until(Arc::clone(shop), Rng::of_round(shop.seed, number * 1_000 + 999), end));
    operated.await;
    killing.await.unwrap();
    let mut payments = Vec::new();
    while let Some(paid) = paying.join_next().await {
        payments.extend(paid.unwrap());
    }
    clients::audit(shop, payments).await
}

async fn run(acknowledged_by: u32) {
    let seed = seed();
    let seconds = Duration::from_secs(setting("FLEET_SECONDS").unwrap_or(FEW_SECONDS)) / 2;
    println!("a fleet on a Cluster: ACKNOWLEDGED_BY={acknowledged_by}, SEED={seed}, {:?} of payments", 2 * seconds);
    let options = RedisOptions::new().append_only(Fsync::Everysec).set("cluster-node-timeout", "2000");
    let cluster = options.start_cluster().await;
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(directory.path(), "ledger");
    let setup = Setup::new(1, false).lease(LEASE).ledger(ledger.file()).cluster(&cluster.urls(), acknowledged_by);
    let shop = Arc::new(Shop::open(seed, Banks::start(setup, SERVICES), &cluster).await);
    let mut operator = Operator::new(cluster, shop.slots(), Rng::of_round(seed, 77));

    let primaries = operator.primaries().await;
    let payments = part(&shop, 1, seconds, operator.move_slots_for(seconds)).await;
    let stood = operator.primaries().await == primaries;
    let books = Books { ledger: &ledger, banks: &shop.banks, lease: LEASE, primaries_lost: !stood, acknowledged_by };
    let moved = books.close(&payments, &[]);
    report(seed, "while slots moved", &books, &moved, operator.take_moved());

    let payments = part(&shop, 2, seconds, operator.lose_primaries_for(seconds, acknowledged_by > 0)).await;
    let books = Books { primaries_lost: true, ..books };
    let lost = books.close(&payments, &operator.losses);
    report(seed, "while slots moved and primaries were lost", &books, &lost, operator.take_moved());
    assert!(!operator.losses.is_empty(), "a primary was lost");
}

/// Says what was found, and then judges it.
fn report(seed: u64, what: &str, books: &Books<'_>, book: &Book, slots: usize) {
    let acknowledged_by = books.acknowledged_by;
    println!("{what}, acknowledged by {acknowledged_by}: {slots} slots moved\n{book}");
    books.judge(book).unwrap_or_else(|wrong| panic!("SEED={seed}, {what}, acknowledged by {acknowledged_by}: {wrong}"));
    assert!(slots > 0 && book.payments > 0, "SEED={seed}: nothing happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_by_the_primary_alone() {
    run(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_by_every_replica() {
    run(1).await;
}
