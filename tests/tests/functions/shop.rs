//! What the functions of these tests do: they charge for orders, each charge is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cratestack_runtime::{
    GuardError, Idempotency, IdempotencyStore, MemoryStore, PostgresStore, SqliteStore, StepError,
};
use cratestack_tests::TestDatabase;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tokio::sync::Semaphore;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    pub amount: u64,
}

pub fn order(id: &str) -> Order {
    Order { id: id.to_owned(), amount: 100 }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub order: String,
    pub amount: u64,
    /// Which charge it was, of all that were made.
    pub charge: usize,
    pub note: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ShopError {
    Declined,
    Guard(GuardError),
    Step(StepError),
}

impl From<GuardError> for ShopError {
    fn from(error: GuardError) -> Self {
        Self::Guard(error)
    }
}

impl From<StepError> for ShopError {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

/// One process of the shop; clones are the same one.
#[derive(Clone)]
pub struct Shop {
    pub idempotency: Idempotency,
    charges: Arc<AtomicUsize>,
    /// Where [`charge`](Self::charge) waits, if it is told to.
    pub gate: Arc<Semaphore>,
    /// That a body has begun.
    pub begun: Arc<Semaphore>,
}

impl Shop {
    pub fn over(idempotency: Idempotency) -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { idempotency, charges: Arc::default(), gate: none(), begun: none() }
    }

    /// Another process beside this one, which makes its charges at the same provider.
    pub fn beside(&self, store: impl IdempotencyStore) -> Self {
        self.by(Idempotency::new(store))
    }

    /// The same by another handle.
    pub fn by(&self, idempotency: Idempotency) -> Self {
        Self { idempotency, ..self.clone() }
    }

    /// The effect.
    pub fn charge(&self, order: &Order) -> Receipt {
        let charge = self.charges.fetch_add(1, Ordering::SeqCst) + 1;
        Receipt { order: order.id.clone(), amount: order.amount, charge, note: None }
    }

    pub fn charges(&self) -> usize {
        self.charges.load(Ordering::SeqCst)
    }

    /// Says that a body has begun, and waits until it may end.
    pub async fn hold(&self) {
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
    }

    /// Waits until a body has begun that is [held](Self::hold).
    pub async fn has_begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }

    pub fn let_go(&self) {
        self.gate.add_permits(1);
    }
}

/// A store, and one more over the same rows as another process has it. What must live as long comes along.
pub struct Stores<S, K> {
    pub one: S,
    pub other: S,
    pub kept: K,
}

pub async fn memory() -> Stores<Arc<MemoryStore>, ()> {
    let store = Arc::new(MemoryStore::new());
    Stores { one: Arc::clone(&store), other: store, kept: () }
}

pub async fn sqlite() -> Stores<SqliteStore, tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("shop.db"))
            .create_if_missing(true)
            .busy_timeout(Duration::from_secs(20))
            .journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
        SqliteStore::new(pool)
    };
    let (one, other) = (open().await, open().await);
    one.migrate().await.unwrap();
    Stores { one, other, kept: folder }
}

pub async fn postgres() -> Stores<PostgresStore, TestDatabase> {
    let database = TestDatabase::create().await;
    let open = async || {
        let pool = PgPoolOptions::new().max_connections(8).connect(database.url()).await.unwrap();
        PostgresStore::new(pool)
    };
    let (one, other) = (open().await, open().await);
    one.migrate().await.unwrap();
    Stores { one, other, kept: database }
}

/// Each test over each store: it is given two processes over the same rows.
#[macro_export]
macro_rules! over_all {
    ($($name:ident,)*) => {
        $crate::over_all!(@over memory: $($name,)*);
        $crate::over_all!(@over sqlite: $($name,)*);
        $crate::over_all!(@over postgres: $($name,)*);
    };
    (@over $store:ident: $($name:ident,)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let $crate::shop::Stores { one, other, kept: _kept } = $crate::shop::$store().await;
                    let one = $crate::shop::Shop::over(cratestack_runtime::Idempotency::new(one));
                    let other = one.beside(other);
                    super::$name(one, other).await;
                }
            )*
        }
    };
}
