use cratestack_schema::Dialect;
use sqlx::SqlStr;

use super::database::Database;
use crate::store::StoreError;
use crate::stores::sql::shared;

/// Deleting what has expired.
#[derive(Debug)]
pub(super) struct Sweep {
    database: Database,
    statement: SqlStr,
}

impl Sweep {
    pub(super) fn new(database: Database) -> Self {
        Self { statement: shared(database.table.sweep(Dialect::Sqlite)), database }
    }

    pub(super) async fn run(&self, limit: u32) -> Result<u64, StoreError> {
        let _turn = self.database.turn.take().await;
        let swept = sqlx::query(self.statement.clone()).bind(i64::from(limit)).execute(&self.database.pool).await;
        swept.map(|swept| swept.rows_affected()).map_err(self.database.error())
    }
}
