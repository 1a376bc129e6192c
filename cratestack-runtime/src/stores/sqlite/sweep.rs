//! Deleting what has expired.

use cratestack_schema::{Dialect, TableName};
use sqlx::SqlStr;

use super::database::Database;
use crate::store::StoreError;
use crate::stores::sql::shared;

pub(super) fn statement(table: &TableName) -> SqlStr {
    shared(table.sweep(Dialect::Sqlite))
}

pub(super) async fn sweep(database: &Database, statement: &SqlStr, limit: u32) -> Result<u64, StoreError> {
    let _turn = database.turn.take().await;
    let swept = sqlx::query(statement.clone()).bind(i64::from(limit)).execute(&database.pool).await;
    swept.map(|swept| swept.rows_affected()).map_err(database.error())
}
