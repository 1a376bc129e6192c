//! What the tests of a service do to the table, and to what their processes leave behind on the server.

use std::time::Duration;

use cratestack_schema::columns::{CREATED_AT, EXPIRES_AT, LEASE_EXPIRES_AT, RESPONSE_STATUS};
use sqlx::{AssertSqlSafe, query, query_scalar};
use uuid::Uuid;

use super::PostgresStore;
use super::database::Database;
use super::sql::CLOCK;
use super::timestamptz::TICK;
use crate::store::StoreError;

/// Postgres ends a transaction once it notices that its client is gone, which takes it no longer than this.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(30);

impl PostgresStore {
    /// The store as another process has it: with a pool of its own, of the same options.
    pub(crate) fn of_another_process(&self) -> Self {
        let Database { pool, table, .. } = &self.database;
        let name = format!("idempotency-test-{}", Uuid::new_v4().simple());
        let options = (*pool.connect_options()).clone().application_name(&name);
        let pool = pool.options().clone().connect_lazy_with(options);
        Self::over(Database::new(pool, (**table).clone()), self.operations.reserve.is_batching())
    }

    /// Waits until the server has undone what a process left open. By its own connections: those of a process that
    /// ended are of no use.
    pub(crate) async fn undone(&self, of: &Self) -> Result<(), StoreError> {
        let options = of.database.pool.connect_options();
        let name = options.get_application_name().unwrap_or_default();
        let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND xact_start IS NOT NULL";
        let until = tokio::time::Instant::now() + DISCONNECT_TIMEOUT;
        loop {
            let count: i64 =
                query_scalar(open).bind(name).fetch_one(&self.database.pool).await.map_err(self.database.error())?;
            if count == 0 {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                return Err(StoreError::Internal(format!(
                    "{count} transactions of a process that has ended are still open"
                )));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn age(&self, by: Duration) -> Result<(), StoreError> {
        let earlier = |column: &str| format!("{column} = {column} - $1 * INTERVAL '1 microsecond'");
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
            "SELECT COALESCE(MAX(EXTRACT(EPOCH FROM lease - {CLOCK}) * 1000000), 0)::int8 FROM (
                SELECT COALESCE({LEASE_EXPIRES_AT}, {EXPIRES_AT}) AS lease FROM {} WHERE {RESPONSE_STATUS} IS NULL
            ) AS running WHERE isfinite(lease)",
            self.database.table.sql()
        );
        let micros: i64 =
            query_scalar(AssertSqlSafe(longest)).fetch_one(&self.database.pool).await.map_err(self.database.error())?;
        Ok(Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
    }
}
