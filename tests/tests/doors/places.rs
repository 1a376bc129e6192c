//! Where records lie.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cratestack_runtime::{
    Idempotency, IdempotencyStore, MemoryStore, PostgresStore, ReservationOutcome, SqliteStore, StoreError, async_trait,
};
use cratestack_tests::TestDatabase;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use uuid::Uuid;

/// A store, and what it needs to be there.
pub struct Place {
    store: Arc<dyn IdempotencyStore>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl Place {
    /// Another process over the same store.
    pub fn handle(&self) -> Idempotency {
        Idempotency::new(Arc::clone(&self.store))
    }
}

pub async fn memory() -> Place {
    Place { store: Arc::new(MemoryStore::new()), _kept: Box::new(()) }
}

pub async fn sqlite() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("doors.db"))
        .create_if_missing(true)
        .busy_timeout(Duration::from_secs(60))
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool);
    store.migrate().await.unwrap();
    Place { store: Arc::new(store), _kept: Box::new(folder) }
}

pub async fn postgres() -> Place {
    let database = TestDatabase::create().await;
    let pool = PgPoolOptions::new().max_connections(4).connect(database.url()).await.unwrap();
    let store = PostgresStore::new(pool);
    store.migrate().await.unwrap();
    Place { store: Arc::new(store), _kept: Box::new(database) }
}

/// A store that nobody reaches.
pub struct Away;

fn away<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("it is away".to_owned()))
}

#[async_trait]
impl IdempotencyStore for Away {
    async fn reserve_or_fetch(
        &self,
        _: &str,
        _: &str,
        _: [u8; 32],
        _: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        away()
    }

    async fn complete(&self, _: &str, _: &str, _: Uuid, _: u16, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
        away()
    }

    async fn release(&self, _: &str, _: &str, _: Uuid) -> Result<(), StoreError> {
        away()
    }
}
