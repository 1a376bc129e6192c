//! Whether the database is still the one that it was, for what a process keeps in memory: nothing that was committed is
//! lost, and no outcome was removed.
//!
//! A file loses what was committed with the power or the operating system, and takes this process along. What an
//! operator removes leaves a mark beside the records, which is read over a connection of its own: a pool may have none
//! to spare, and a replay from memory is to wait for nobody.

use std::time::SystemTime;

use cratestack_schema::TableName;
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::store::ClockSample;

#[derive(Debug)]
pub(super) struct FileSession {
    /// One for the store's whole life.
    session: u128,
    connection: Mutex<Option<SqliteConnection>>,
}

impl FileSession {
    pub(super) fn new() -> Self {
        Self { session: Uuid::new_v4().as_u128(), connection: Mutex::default() }
    }

    /// An error where the mark cannot be read, as where the table is in a database that only the pool's connections
    /// have attached: then nothing is kept.
    pub(super) async fn sample(&self, pool: &SqlitePool, table: &TableName) -> Result<ClockSample, sqlx::Error> {
        let mut kept = self.connection.lock().await;
        // Out of its place meanwhile, so that whoever drops this halfway, and every error, closes it.
        let open = kept.take();
        if pool.is_closed() {
            return Err(sqlx::Error::PoolClosed);
        }
        let mut open = match open {
            Some(open) => open,
            None => pool.connect_options().connect().await?,
        };
        let now = SystemTime::now();
        let mark: Option<Uuid> =
            sqlx::query_scalar(AssertSqlSafe(table.forgotten_mark())).fetch_optional(&mut open).await?;
        *kept = Some(open);
        Ok(ClockSample { now, session: self.session ^ mark.unwrap_or_default().as_u128() })
    }
}
