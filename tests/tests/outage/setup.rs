//! What the tests of single faults start from: a database, the bank's tables, and a ledger.

use std::time::Duration;

use cratestack_tests::{
    Client, TestDatabase,
    fleet::{Bank, Books, Ledger, Recorded, Setup},
};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    BANK,
    clients::{Manner, Order, PATIENCE, Told},
};

pub const LEASE: Duration = Duration::from_secs(1);
/// For what is asked when everything is there.
pub const AT_ONCE: Manner = Manner { patience: PATIENCE, pause: Duration::from_millis(20) };

pub struct World {
    pub url: String,
    pub books: Books,
    pub ledger: Ledger,
    _directory: TempDir,
    _database: Option<TestDatabase>,
}

impl World {
    pub async fn on(database: TestDatabase) -> Self {
        let (url, directory) = (database.url().to_owned(), tempfile::tempdir().unwrap());
        let books = Books::on_postgres(&url).await;
        let ledger = Ledger::create(directory.path(), "ledger");
        Self { url, books, ledger, _directory: directory, _database: Some(database) }
    }

    pub async fn on_postgres() -> Self {
        Self::on(TestDatabase::create().await).await
    }

    pub async fn on_sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("bank.db").display());
        let books = Books::on_sqlite(&url).await;
        let ledger = Ledger::create(directory.path(), "ledger");
        Self { url, books, ledger, _directory: directory, _database: None }
    }

    /// A process that reaches the database over `url`, with a store that it awaits for longer than any fault here
    /// lasts.
    pub fn bank(&self, url: &str, pool: u64, tuned: bool) -> Bank {
        Bank::start(BANK, url, &self.setup(pool, tuned), 0)
    }

    pub fn setup(&self, pool: u64, tuned: bool) -> Setup {
        Setup::new(pool, tuned).lease(LEASE).store_timeout(Duration::from_secs(6)).ledger(self.ledger.file())
    }

    /// Returns once a handler of each has begun.
    pub async fn have_begun(&self, orders: &[Order]) {
        while orders.iter().any(|order| self.ledger.runs(&order.key).is_empty()) {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Each has run once, and all that was told of it is what is recorded.
    pub async fn ran_once(&self, orders: &[Order], told: &[Told]) {
        let runs: Vec<_> = orders.iter().map(|order| self.ledger.runs(&order.key).len()).collect();
        let sum: usize = runs.iter().sum();
        let twice = runs.iter().filter(|runs| **runs > 1).count();
        println!("{} keys, {sum} runs, {twice} keys more than once", orders.len());
        assert_eq!((sum, twice), (orders.len(), 0), "runs, and keys that ran more than once");
        let mut recorded = Vec::new();
        for order in orders {
            let records = self.books.records(&order.key).await;
            assert!(matches!(&records[..], [Some(_)]), "{order:?}: {records:?}");
            recorded.extend(records.into_iter().flatten());
        }
        for told in told {
            let answer = told.answer.as_ref().unwrap().as_ref().unwrap_or_else(|| panic!("refused: {told:?}"));
            assert!(recorded.contains(&Recorded::told(answer)), "told and not recorded: {answer:?}");
        }
    }
}

/// All of them ask at once, until they are told.
pub async fn all_until_told(clients: &[Client], orders: &[Order], manner: Manner) -> Vec<Told> {
    let asking: Vec<_> = orders
        .iter()
        .map(|order| {
            let (clients, order) = (clients.to_vec(), order.clone());
            tokio::spawn(async move { crate::clients::until_told(&clients, &order, manner).await })
        })
        .collect();
    let mut told = Vec::new();
    for asked in asking {
        told.push(asked.await.unwrap());
    }
    told
}
