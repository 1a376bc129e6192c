use std::fmt;

use sqlx::Database;
use sqlx::pool::PoolConnection;
use sqlx_core::transaction::TransactionManager as _;
use tokio::sync::OwnedMutexGuard;
#[cfg(feature = "postgres")]
use tokio::sync::OwnedSemaphorePermit;
#[cfg(feature = "postgres")]
use uuid::Uuid;

use crate::store::{Begun, ClaimOutcome, StoreError};

/// The name of the savepoint that a handler's writes come after.
pub(crate) const SAVEPOINT: &str = "cratestack_handler";

/// A transaction on a connection of the pool. Dropped, it is rolled back, and the connection goes back.
///
/// sqlx's own `Transaction` cannot close its connection, which a transaction needs that must end at once.
pub struct OpenTransaction<DB: Database> {
    connection: PoolConnection<DB>,
    #[cfg(feature = "postgres")]
    pub(crate) session: SessionId,
    /// Which table its records are in, where a name alone does not say.
    #[cfg(feature = "postgres")]
    pub(crate) table: i64,
    /// When it began, on the database's clock, where the database does not remember.
    #[cfg(feature = "sqlite")]
    pub(crate) began: i64,
    /// A database with one writer at a time has a queue for them.
    _turn: Option<OwnedMutexGuard<()>>,
    /// Its place among the connections that the store keeps for transactions, where it is one of them.
    #[cfg(feature = "postgres")]
    pub(crate) place: Option<OwnedSemaphorePermit>,
    /// It was ended by a text of ours, of which sqlx does not know.
    #[cfg(feature = "postgres")]
    has_ended: bool,
    /// A commit or a rollback was sent, and its answer is not there.
    in_doubt: bool,
}

/// What a server knows a transaction's session by.
#[cfg(feature = "postgres")]
#[derive(Debug, Clone, Copy, Default)]
pub enum SessionId {
    /// It has not begun.
    #[default]
    None,
    /// It has claimed a key: it is the session with this number, if that holds the key's lock.
    OfKey {
        /// None's number is 0, which stands here until it is told.
        pid: i32,
        /// The number of the advisory lock.
        lock: i64,
    },
    /// It has not: it is whichever session holds this lock, which nobody else asks for.
    OfLock {
        /// The number of the advisory lock.
        lock: i64,
        /// What its transaction is known by within it.
        mark: Uuid,
    },
}

impl<DB: Database> OpenTransaction<DB> {
    /// Runs `begin`, which may consist of several statements and must leave the connection in a transaction.
    ///
    /// To be driven to its end: sqlx knows of the transaction only once it has begun.
    pub(crate) async fn begin(
        mut connection: PoolConnection<DB>,
        begin: sqlx::SqlStr,
        turn: Option<OwnedMutexGuard<()>>,
    ) -> Result<Self, sqlx::Error> {
        if let Err(error) = DB::TransactionManager::begin(&mut connection, Some(begin)).await {
            // It may have begun and then failed.
            connection.close_on_drop();
            return Err(error);
        }
        Ok(Self::new(connection, turn))
    }

    fn new(connection: PoolConnection<DB>, turn: Option<OwnedMutexGuard<()>>) -> Self {
        Self {
            connection,
            #[cfg(feature = "postgres")]
            session: SessionId::default(),
            #[cfg(feature = "postgres")]
            table: 0,
            #[cfg(feature = "sqlite")]
            began: 0,
            _turn: turn,
            #[cfg(feature = "postgres")]
            place: None,
            #[cfg(feature = "postgres")]
            has_ended: false,
            in_doubt: false,
        }
    }

    /// The handler may have begun transactions within this one; all of them are ended when it returns, unless it has
    /// leaked one.
    pub(crate) fn is_outermost(&self) -> bool {
        DB::TransactionManager::get_transaction_depth(&self.connection) == 1
    }

    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        // Also where nobody waits for the answer any longer: a pool looks at what comes back to it, and would wait for
        // ever for a connection that went silent.
        self.in_doubt = true;
        let committed = DB::TransactionManager::commit(&mut self.connection).await;
        // An answer, but not the end yet: the server lets go of a refused transaction's locks after it has told of it,
        // and SQLite of nothing. The next statement waits for that.
        if let Err(sqlx::Error::Database(_)) = committed {
            // Where it fails, the transaction may have ended already; the connection is closed, and what the commit
            // said is what counts.
            drop(self.rollback().await);
        } else {
            self.in_doubt = committed.is_err();
        }
        committed
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        // Until it is known to have ended: a connection that came back within a transaction would be its next user's
        // trap.
        self.in_doubt = true;
        while DB::TransactionManager::get_transaction_depth(&self.connection) > 0 {
            DB::TransactionManager::rollback(&mut self.connection).await?;
        }
        self.in_doubt = false;
        Ok(())
    }

    /// The connection is closed instead of going back to its pool.
    pub(crate) fn close_on_drop(&mut self) {
        self.connection.close_on_drop();
    }

    /// The connection, in the transaction.
    pub fn connection(&self) -> &DB::Connection {
        &self.connection
    }

    /// The connection, in the transaction.
    pub fn connection_mut(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }
}

/// Of a connection that sqlx counts as being in a transaction also between two of them.
#[cfg(feature = "postgres")]
impl OpenTransaction<sqlx::Postgres> {
    /// Begins by `begin`, which may consist of several statements, and returns the rows of all of them.
    ///
    /// To be driven to its end.
    pub(crate) async fn resume(
        connection: PoolConnection<sqlx::Postgres>,
        begin: sqlx::SqlStr,
    ) -> Result<(Self, Vec<sqlx::postgres::PgRow>), sqlx::Error> {
        let mut open = Self::new(connection, None);
        // It may have begun and then failed.
        open.in_doubt = true;
        match sqlx::raw_sql(begin).fetch_all(open.connection_mut()).await {
            Ok(rows) => {
                open.in_doubt = false;
                Ok((open, rows))
            }
            Err(error) => {
                if let sqlx::Error::Database(_) = error {
                    // Where that fails, the connection is closed.
                    drop(open.end_by("ROLLBACK").await);
                }
                Err(error)
            }
        }
    }

    /// Ends it by `end`, `COMMIT` or `ROLLBACK`, and leaves what sqlx counts as it was.
    pub(crate) async fn end_by(&mut self, end: &'static str) -> Result<(), sqlx::Error> {
        self.in_doubt = true;
        while !self.is_outermost() && self.is_within() {
            <sqlx::Postgres as Database>::TransactionManager::rollback(&mut self.connection).await?;
        }
        sqlx::raw_sql(end).execute(self.connection_mut()).await?;
        (self.in_doubt, self.has_ended) = (false, true);
        Ok(())
    }

    fn is_within(&self) -> bool {
        <sqlx::Postgres as Database>::TransactionManager::get_transaction_depth(&self.connection) > 0
    }
}

impl<DB: Database> Drop for OpenTransaction<DB> {
    fn drop(&mut self) {
        if self.in_doubt {
            self.connection.close_on_drop();
        }
        #[cfg(feature = "postgres")]
        if self.has_ended {
            return;
        }
        // Counted before: SQLite's depth changes once its thread gets to it.
        for _ in 0..DB::TransactionManager::get_transaction_depth(&self.connection) {
            DB::TransactionManager::start_rollback(&mut self.connection);
        }
    }
}

impl<DB: Database> fmt::Debug for OpenTransaction<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTransaction").finish_non_exhaustive()
    }
}

/// Shows the transactions of `$store` to handlers, as those of the database that it lies in.
macro_rules! store_database {
    ($database:ty, $store:ty) => {
        impl $crate::store::StoreDatabase for $database {
            type Store = $store;
            type Transaction = $crate::stores::sql::OpenTransaction<Self>;

            fn connection(transaction: &Self::Transaction) -> &Self::Connection {
                transaction.connection()
            }

            fn connection_mut(transaction: &mut Self::Transaction) -> &mut Self::Connection {
                transaction.connection_mut()
            }

            fn is_transient(error: &dyn sqlx::error::DatabaseError) -> bool {
                $crate::stores::sql::Cause::of(error) == $crate::stores::sql::Cause::Contention
            }
        }
    };
}
pub(crate) use store_database;

/// Only by leaking it: a transaction within the handler's is rolled back when it is dropped.
pub(crate) fn never_ended() -> StoreError {
    StoreError::Internal("the handler began a transaction within its own and never ended it".to_owned())
}

/// What a transaction is told that did not get the key.
pub(crate) fn held<T>(outcome: ClaimOutcome) -> Begun<T> {
    match outcome {
        ClaimOutcome::Replay(record) => Begun::Replay(record),
        ClaimOutcome::Conflict => Begun::Conflict,
        ClaimOutcome::InFlight | ClaimOutcome::Reserved { .. } => Begun::InFlight,
    }
}
