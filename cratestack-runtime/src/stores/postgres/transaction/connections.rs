//! The connections that transactions run on: those of the application's pool, or some of the store's own.
//!
//! A transaction is known to sqlx only where `TransactionManager::begin` has begun it, whose rows are lost. If sqlx did
//! not know of it, a handler's `tx.begin()` would send `BEGIN` instead of a savepoint, and its `commit()` would commit
//! everything. So on a connection of the application's, to begin and to look are two messages:
//!
//! ```text
//! of the pool     begin and claim ──▶   look ──▶ row     the handler's …   record ──▶   COMMIT, by sqlx      ──▶
//! of the store    begin, claim and look ──────▶ row      the handler's …   record ──▶   COMMIT, by its text  ──▶
//! ```
//!
//! A connection of the store's own is left with sqlx counting one transaction: it is committed by a text that sqlx does
//! not look at, so the next transaction on it is begun by a text too, whose rows can be read. In the application's pool
//! such a connection would be a trap for whoever begins a transaction of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgRow, PgTransactionManager};
use sqlx::{Connection as _, PgPool, Postgres, Row as _, SqlStr};
use sqlx_core::transaction::TransactionManager as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::RecordIdRef;
use crate::stores::postgres::connection::beside;
use crate::stores::sql::OpenTransaction;

/// Where transactions get their connections from.
#[derive(Debug, Clone)]
pub(in crate::stores::postgres) struct TransactionConnections {
    pool: PgPool,
    own: Option<Arc<Own>>,
}

#[derive(Debug)]
struct Own {
    max: u32,
    pool: OnceLock<PgPool>,
    /// One for each connection. Who has none takes one of the application's instead of waiting.
    places: Arc<Semaphore>,
    /// Whether the database is in UTF-8, as far as a connection has told.
    is_utf8: AtomicBool,
}

/// A connection, and its place where it is one of the store's.
pub(super) struct TransactionConnection {
    pub(super) connection: PoolConnection<Postgres>,
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl TransactionConnections {
    pub(in crate::stores::postgres) fn new(pool: PgPool, max: u32) -> Self {
        // No more than the application's pool may have, which a pool with a parent must not exceed.
        let max = max.min(pool.options().get_max_connections());
        let places = Arc::new(Semaphore::new(max as usize));
        let own =
            (max > 0).then(|| Arc::new(Own { max, pool: OnceLock::new(), places, is_utf8: AtomicBool::new(false) }));
        Self { pool, own }
    }

    /// Whether the names can stand in a text that begins a transaction.
    pub(super) fn can_spell(&self, id: RecordIdRef<'_>) -> bool {
        let is_utf8 = self.own.as_ref().is_some_and(|own| own.is_utf8.load(Ordering::Relaxed));
        is_utf8 || (id.principal.is_ascii() && id.key.is_ascii())
    }

    pub(super) async fn acquire(&self) -> Result<TransactionConnection, sqlx::Error> {
        if let Some(taken) = self.acquire_own().await {
            return Ok(taken);
        }
        self.acquire_of_pool().await
    }

    pub(super) async fn acquire_of_pool(&self) -> Result<TransactionConnection, sqlx::Error> {
        Ok(TransactionConnection { connection: self.pool.acquire().await?, place: None })
    }

    /// Begins a transaction by a text whose rows say nothing.
    pub(super) async fn begin(&self, begin: SqlStr) -> Result<OpenTransaction<Postgres>, sqlx::Error> {
        let connection = self.acquire().await?;
        if !connection.is_within_to_sqlx() {
            return connection.begin(begin).await;
        }
        match connection.resume(begin.clone()).await {
            Err(error) if has_died(&error) => self.acquire_of_pool().await?.begin(begin).await,
            answered => answered.map(|(open, _)| open),
        }
    }

    /// Only one that is there: to open another one takes longer than it saves.
    async fn acquire_own(&self) -> Option<TransactionConnection> {
        let own = self.own.as_ref()?;
        let place = Arc::clone(&own.places).try_acquire_owned().ok()?;
        let pool = own.pool.get_or_init(|| beside(&self.pool, own.max, false));
        if pool.num_idle() > 0 {
            let connection = pool.acquire().await.ok()?;
            let mut taken = TransactionConnection { connection, place: Some(place) };
            // Its first transaction is begun as sqlx does, which would tell the caller that it has died. So it is pinged
            // before that; later ones begin by a text, and where that finds it dead, on the application's pool.
            if !taken.is_within_to_sqlx() && taken.connection.ping().await.is_err() {
                taken.connection.close_on_drop();
                return None;
            }
            return Some(taken);
        }
        if pool.size() >= own.max {
            // All are open. One that is not idle and has no transaction is on its way back, which takes a ping.
            return None;
        }
        // The application may have changed its password meanwhile.
        pool.set_connect_options((*self.pool.connect_options()).clone());
        let (own, pool) = (Arc::clone(own), pool.clone());
        tokio::spawn(async move {
            let opened = pool.acquire().await;
            if let Ok(mut connection) = opened
                && let Ok(row) = sqlx::raw_sql(IS_UTF8).fetch_one(&mut *connection).await
            {
                own.is_utf8.store(row.try_get(0).unwrap_or(false), Ordering::Relaxed);
            }
            drop(place);
        });
        None
    }
}

const IS_UTF8: &str = "SELECT current_setting('server_encoding') = 'UTF8'";

impl TransactionConnection {
    /// Whether sqlx counts it as being in a transaction, which it is not.
    pub(super) fn is_within_to_sqlx(&self) -> bool {
        self.place.is_some() && PgTransactionManager::get_transaction_depth(&self.connection) == 1
    }

    /// Begins as sqlx does.
    pub(super) async fn begin(self, begin: SqlStr) -> Result<OpenTransaction<Postgres>, sqlx::Error> {
        let mut open = OpenTransaction::begin(self.connection, begin, None).await?;
        open.place = self.place;
        Ok(open)
    }

    /// Begins behind sqlx's back, where it counts a transaction already.
    pub(super) async fn resume(self, begin: SqlStr) -> Result<(OpenTransaction<Postgres>, Vec<PgRow>), sqlx::Error> {
        let (mut open, rows) = OpenTransaction::resume(self.connection, begin).await?;
        open.place = self.place;
        Ok((open, rows))
    }
}

/// Whether a connection turned out to be no more, so that another one may fare better.
pub(super) fn has_died(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P0"))
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}
