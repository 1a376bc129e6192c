//! Runs in three steps, whose services, and whose database, are killed at any moment while clients go on asking.
//!
//! ```text
//! clients   │ purchase ─────── no answer ─ 409 … ─ 201 ─ the same again: replayed ─ the next purchase
//! service   │ charge ─ debit ─ ✂          the lease ends ─ (charge, debit: skipped) ─ ship ─ outcome
//! provider  │ one charge                                    none
//! ```
//!
//! The charge is a plain step that calls a provider with a derived key, the debit a transaction step, and the shipment
//! a plain step whose effect is a line in a file. `STEP_KILLS` and `SEED` in the environment set how many kills there
//! are, and which. Beside the kills of a service there are, on Postgres, kills of the database; and now and then a
//! service is stopped for longer than its lease, so that a run of the past goes on beside its successor.

mod check;
mod clients;
mod faults;
mod report;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cratestack_tests::{
    Client, PostgresServer, TestDatabase,
    fleet::{Bank, Books, Ledger, Provider, Rng, Setup, seed, setting},
    postgres::PostgresOptions,
};
use tokio::{sync::RwLock, task::JoinSet};

use self::{check::Bought, report::Report};
use crate::BANK;

/// How many services there are at any time.
const SERVICES: usize = 3;
/// How many customers there are, each of whom buys one thing after another.
const CUSTOMERS: u64 = 24;
/// A killed run's key is free again after this.
const LEASE: Duration = Duration::from_millis(1_500);
/// In the ordinary test run.
const FEW: u64 = 30;

/// What all clients and faults share.
struct World {
    database: &'static str,
    seed: u64,
    url: String,
    setup: Setup,
    books: Books,
    server: Option<PostgresServer>,
    provider: Provider,
    ledger: Ledger,
    /// Where the services listen, changed by every kill.
    services: RwLock<Vec<Client>>,
    /// No further purchase is begun.
    closes: AtomicBool,
    report: Report,
}

impl World {
    fn start_bank(&self, nth: usize) -> Bank {
        Bank::start(BANK, &self.url, &self.setup, nth)
    }
}

async fn run(world: World, kills: u64) {
    let (seed, database) = (world.seed, world.database);
    println!("{database}, steps: {kills} kills, SEED={seed}");
    let mut fleet: Vec<_> = (0..SERVICES).map(|nth| world.start_bank(nth)).collect();
    *world.services.write().await = fleet.iter().map(Bank::client).collect();
    let world = Arc::new(world);
    let mut customers = JoinSet::new();
    for nth in 0..CUSTOMERS {
        let world = Arc::clone(&world);
        customers.spawn(async move {
            let mut bought = Vec::new();
            let mut rng = Rng::of_round(seed, 1_000 + nth);
            for number in 0.. {
                if world.closes.load(Ordering::Relaxed) {
                    break;
                }
                bought.push(clients::buy(&world, &mut rng, format!("{nth}-{number}")).await?);
            }
            Ok::<Vec<Bought>, String>(bought)
        });
    }
    let failed = faults::strike(&world, &mut fleet, kills, &mut customers).await;
    world.closes.store(true, Ordering::Relaxed);
    let mut bought = failed.unwrap_or_else(|wrong| panic!("{database}, SEED={seed}: {wrong}"));
    while let Some(ended) = customers.join_next().await {
        let of_one = ended.unwrap();
        bought.extend(of_one.unwrap_or_else(|wrong| panic!("{database}, SEED={seed}: {wrong}")));
    }
    let judged = check::judge(&world, &bought).await;
    let findings = judged.unwrap_or_else(|wrong| panic!("{database}, SEED={seed}, at the end: {wrong}"));
    println!("{}\n{findings}", world.report);
}

fn setup(pool: u64, ledger: &Path, provider: &Provider) -> Setup {
    Setup::new(pool, true).lease(LEASE).ledger(ledger).provider(provider.address())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres() {
    let (seed, kills) = (seed(), setting("STEP_KILLS").unwrap_or(FEW));
    // What is committed must be on the disk; a commit takes its time, so that kills hit it.
    let options = PostgresOptions::new().durable().set("commit_delay", "5000").set("commit_siblings", "0");
    let server = options.set("deadlock_timeout", "50ms").start().await;
    let database = TestDatabase::create_on(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let (ledger, provider) = (Ledger::create(directory.path(), "ledger"), Provider::start(seed).await);
    let url = database.url().to_owned();
    let world = World {
        database: "Postgres",
        seed,
        books: Books::on_postgres(&url).await,
        setup: setup(8, ledger.file(), &provider),
        url,
        server: Some(server),
        provider,
        ledger,
        services: RwLock::default(),
        closes: AtomicBool::default(),
        report: Report::new("Postgres", seed),
    };
    run(world, kills).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite() {
    let (seed, kills) = (seed(), setting("STEP_KILLS").unwrap_or(FEW));
    let directory = tempfile::tempdir().unwrap();
    let (ledger, provider) = (Ledger::create(directory.path(), "ledger"), Provider::start(seed).await);
    let url = format!("sqlite://{}?mode=rwc", directory.path().join("bank.db").display());
    let world = World {
        database: "SQLite",
        seed,
        books: Books::on_sqlite(&url).await,
        setup: setup(4, ledger.file(), &provider),
        url,
        server: None,
        provider,
        ledger,
        services: RwLock::default(),
        closes: AtomicBool::default(),
        report: Report::new("SQLite", seed),
    };
    run(world, kills).await;
}
