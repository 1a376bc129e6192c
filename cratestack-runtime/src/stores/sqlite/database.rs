use std::sync::Arc;

use cratestack_schema::{Dialect, TableName};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, SqlitePool};

use super::turn::Turn;
use crate::store::{Claim, ClaimOutcome, StoreError};
use crate::stores::sql::{Row, in_table, store_error};
use crate::stores::time::Tick;

pub(super) const TICK: Tick = Tick::Millisecond;

/// The present, the same throughout a statement: SQLite looks at the clock once the statement has the lock to write
/// that it waited for.
pub(super) const NOW: &str = Dialect::Sqlite.now();

/// What statements are run on.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) pool: SqlitePool,
    pub(super) table: Arc<TableName>,
    /// Taken before a connection is.
    pub(super) turn: Turn,
}

impl Database {
    pub(super) fn new(pool: SqlitePool, table: TableName) -> Self {
        Self { pool, table: Arc::new(table), turn: Turn::default() }
    }

    pub(super) fn error(&self) -> impl Fn(sqlx::Error) -> StoreError {
        |error| store_error(Dialect::Sqlite, &self.table, error)
    }

    pub(super) async fn acquire(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.pool.acquire().await.map_err(self.error())
    }

    /// What a live row means to a caller.
    pub(super) fn classify(&self, row: &SqliteRow, claim: &Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        let moment = |column| {
            let ticks = row.try_get(column).map_err(self.error())?;
            TICK.moment(ticks).map_err(in_table(&self.table))
        };
        let row = Row {
            request_hash: row.try_get(0).map_err(self.error())?,
            status: row.try_get(1).map_err(self.error())?,
            headers: row.try_get(2).map_err(self.error())?,
            body: row.try_get(3).map_err(self.error())?,
            created_at: moment(4)?,
            expires_at: moment(5)?,
        };
        row.classify(claim.id(), claim.request_hash).map_err(in_table(&self.table))
    }
}
