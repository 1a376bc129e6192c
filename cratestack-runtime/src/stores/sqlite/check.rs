use cratestack_schema::{Dialect, Fact, Report, TableName};
use sqlx::{AssertSqlSafe, Row as _, SqlitePool};

use super::refused;
use crate::StoreError;

pub(super) async fn check(pool: &SqlitePool, table: &TableName) -> Result<Report, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(table.catalogue(Dialect::Sqlite)))
        .bind(table.schema())
        .bind(table.table())
        .persistent(false)
        .fetch_all(pool)
        .await
        .map_err(refused(table))?;
    let mut facts = Vec::with_capacity(rows.len());
    for row in rows {
        let columns: Result<Vec<Option<String>>, _> = (0..Fact::COLUMNS).map(|column| row.try_get(column)).collect();
        facts.push(Fact::new(columns.map_err(refused(table))?));
    }
    Ok(Report::new(table, Dialect::Sqlite, &facts))
}
