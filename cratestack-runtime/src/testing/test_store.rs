use std::time::Duration;

use async_trait::async_trait;

use crate::store::{IdempotencyStore, StoreError};
use crate::stores::MemoryStore;
#[cfg(feature = "postgres")]
use crate::stores::PostgresStore;
#[cfg(feature = "redis")]
use crate::stores::RedisStore;
#[cfg(feature = "sqlite")]
use crate::stores::SqliteStore;

/// A store that a [`Service`](super::Service) can be tested over: its time can be made to pass, and it can be had once
/// more, as another process has it.
///
/// [`MemoryStore`], `SqliteStore` (with a file: a database in memory ends with its process), `PostgresStore` and
/// `RedisStore` are such stores. For one of your own:
///
/// ```
/// use std::time::Duration;
/// use cratestack_runtime::{async_trait, StoreError};
/// use cratestack_runtime::testing::TestStore;
/// # use cratestack_runtime::{IdempotencyStore, MemoryStore, ReservationOutcome};
/// # use std::time::SystemTime;
/// # use uuid::Uuid;
///
/// #[derive(Clone)]
/// struct Shelf {
///     rows: MemoryStore,
/// }
/// # #[async_trait]
/// # impl IdempotencyStore for Shelf {
/// #     async fn reserve_or_fetch(&self, principal: &str, key: &str, hash: [u8; 32], expires_at: SystemTime)
/// #         -> Result<ReservationOutcome, StoreError> {
/// #         self.rows.reserve_or_fetch(principal, key, hash, expires_at).await
/// #     }
/// #     async fn complete(&self, principal: &str, key: &str, token: Uuid, status: u16, headers: &[u8], body: &[u8])
/// #         -> Result<(), StoreError> {
/// #         self.rows.complete(principal, key, token, status, headers, body).await
/// #     }
/// #     async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
/// #         self.rows.release(principal, key, token).await
/// #     }
/// # }
///
/// #[async_trait]
/// impl TestStore for Shelf {
///     fn of_another_process(&self) -> Self {
///         Self { rows: self.rows.clone() } // the rows are shared, and nothing else
///     }
///
///     async fn advance(&self, by: Duration) -> Result<(), StoreError> {
///         self.rows.advance(by).await // or: every time in every row lies `by` earlier
///     }
///
///     async fn longest_lease(&self) -> Result<Duration, StoreError> {
///         self.rows.longest_lease().await // or: the latest end of a lease of a row without an outcome, from now
///     }
/// }
/// ```
#[async_trait]
pub trait TestStore: IdempotencyStore + Clone {
    /// The same rows, and nothing else in common: what a new process has. It is called within a tokio runtime that
    /// ends when the process does.
    #[must_use]
    fn of_another_process(&self) -> Self;

    /// Lets time pass for every row, as far as the store can tell: their leases and retentions end so much earlier.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached.
    async fn advance(&self, by: Duration) -> Result<(), StoreError>;

    /// How long it takes until the lease of every run without an outcome has ended; zero where none is left.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached.
    async fn longest_lease(&self) -> Result<Duration, StoreError>;

    /// Waits until what a process that has ended left open is undone: its transactions are rolled back. The provided
    /// body does not wait.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached, or cannot outlive a process.
    async fn undone(&self, of: &Self) -> Result<(), StoreError> {
        let _ = of;
        Ok(())
    }
}

#[async_trait]
impl TestStore for MemoryStore {
    /// A clone. Its rows are what a server would keep.
    fn of_another_process(&self) -> Self {
        self.clone()
    }

    async fn advance(&self, by: Duration) -> Result<(), StoreError> {
        self.age(by);
        Ok(())
    }

    async fn longest_lease(&self) -> Result<Duration, StoreError> {
        Ok(self.longest_lease())
    }
}

#[cfg(feature = "sqlite")]
#[async_trait]
impl TestStore for SqliteStore {
    /// It shares the pool: an SQLite connection that a process had in hand ends with it.
    fn of_another_process(&self) -> Self {
        self.of_another_process()
    }

    async fn advance(&self, by: Duration) -> Result<(), StoreError> {
        self.age(by).await
    }

    async fn longest_lease(&self) -> Result<Duration, StoreError> {
        self.longest_lease().await
    }

    async fn undone(&self, _: &Self) -> Result<(), StoreError> {
        if self.has_file() {
            return Ok(());
        }
        Err(StoreError::Internal(
            "an SQLite database in memory ends with its process; use a file for a test in which one ends".to_owned(),
        ))
    }
}

#[cfg(feature = "postgres")]
#[async_trait]
impl TestStore for PostgresStore {
    /// It has a pool of its own, with the options of this one's.
    fn of_another_process(&self) -> Self {
        self.of_another_process()
    }

    async fn advance(&self, by: Duration) -> Result<(), StoreError> {
        self.age(by).await
    }

    async fn longest_lease(&self) -> Result<Duration, StoreError> {
        self.longest_lease().await
    }

    async fn undone(&self, of: &Self) -> Result<(), StoreError> {
        self.undone(of).await
    }
}

#[cfg(feature = "redis")]
#[async_trait]
impl TestStore for RedisStore {
    /// It has connections of its own.
    fn of_another_process(&self) -> Self {
        self.of_another_process()
    }

    async fn advance(&self, by: Duration) -> Result<(), StoreError> {
        self.age(by).await
    }

    async fn longest_lease(&self) -> Result<Duration, StoreError> {
        self.longest_lease().await
    }
}
