//! What the tests of a service do to the table.

use std::sync::Arc;
use std::time::Duration;

use cratestack_schema::columns::{CREATED_AT, EXPIRES_AT, LEASE_EXPIRES_AT, RESPONSE_STATUS};
use sqlx::{AssertSqlSafe, query, query_scalar};

use super::database::{Database, NOW, TICK};
use super::session::FileSession;
use super::{Operations, SqliteStore};
use crate::store::StoreError;

impl SqliteStore {
    /// The store as another process has it. It shares the pool: a connection is a thread of its own, and ends with
    /// whoever had it.
    pub(crate) fn of_another_process(&self) -> Self {
        let database = Database::new(self.database.pool.clone(), (*self.database.table).clone());
        let operations = Arc::new(Operations::new(&database, self.operations.writes.is_batching()));
        Self { database, operations, session: self.session.as_ref().map(|_| Arc::new(FileSession::new())) }
    }

    /// Whether the database is one that outlives a process.
    pub(crate) fn has_file(&self) -> bool {
        self.session.is_some()
    }

    pub(crate) async fn age(&self, by: Duration) -> Result<(), StoreError> {
        let earlier = |column: &str| format!("{column} = {column} - ?1");
        let columns = [CREATED_AT, EXPIRES_AT, LEASE_EXPIRES_AT].map(earlier).join(", ");
        let update = format!("UPDATE {} SET {columns}", self.database.table.sql());
        query(AssertSqlSafe(update))
            .bind(TICK.count(by))
            .execute(&self.database.pool)
            .await
            .map(drop)
            .map_err(self.database.error())
    }

    pub(crate) async fn longest_lease(&self) -> Result<Duration, StoreError> {
        let longest = format!(
            "SELECT MAX(COALESCE({LEASE_EXPIRES_AT}, {EXPIRES_AT}) - {NOW}) FROM {} WHERE {RESPONSE_STATUS} IS NULL",
            self.database.table.sql()
        );
        let millis: Option<i64> =
            query_scalar(AssertSqlSafe(longest)).fetch_one(&self.database.pool).await.map_err(self.database.error())?;
        Ok(Duration::from_millis(millis.and_then(|millis| u64::try_from(millis).ok()).unwrap_or_default()))
    }
}
