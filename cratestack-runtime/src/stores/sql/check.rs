//! The table that is there, compared with the one that is needed.

use cratestack_schema::{Column, Dialect, Fact, IDEMPOTENCY, Report, TableName};
use sqlx::database::HasStatementCache;
use sqlx::{AssertSqlSafe, ColumnIndex, Database, Decode, Encode, Executor, IntoArguments, Pool, Row as _, Type};

use super::error::store_error;
use crate::store::StoreError;

pub(crate) async fn check<DB>(pool: &Pool<DB>, dialect: Dialect, table: &TableName) -> Result<Report, StoreError>
where
    DB: Database + HasStatementCache,
    DB::Arguments: IntoArguments<DB>,
    for<'a> &'a Pool<DB>: Executor<'a, Database = DB>,
    for<'a> Option<&'a str>: Encode<'a, DB> + Type<DB>,
    for<'a> &'a str: Encode<'a, DB> + Type<DB>,
    for<'r> Option<String>: Decode<'r, DB> + Type<DB>,
    usize: ColumnIndex<DB::Row>,
{
    let error = |error| store_error(dialect, table, error);
    let rows = sqlx::query(AssertSqlSafe(table.catalogue(dialect)))
        .bind(table.schema())
        .bind(table.table())
        .persistent(false)
        .fetch_all(pool)
        .await
        .map_err(error)?;
    let mut facts = Vec::with_capacity(rows.len());
    for row in rows {
        let columns: Result<Vec<Option<String>>, _> = (0..Fact::COLUMNS).map(|column| row.try_get(column)).collect();
        facts.push(Fact::new(columns.map_err(error)?));
    }
    Ok(Report::new(table, dialect, &facts))
}

/// The columns that a table with these lacks.
pub(crate) fn lacking(present: &[String]) -> impl Iterator<Item = &'static Column> {
    IDEMPOTENCY.columns.iter().filter(|column| !present.iter().any(|name| name == column.name))
}

/// Refuses a table with these columns that lacks one which ours has had since its first version: adding what later
/// versions brought would not make it ours.
pub(crate) fn refuse_foreign(table: &TableName, present: &[String]) -> Result<(), StoreError> {
    match lacking(present).find(|column| column.since == 1) {
        None => Ok(()),
        Some(column) => Err(StoreError::Schema(format!(
            "there is a table {table}, but it has no column {}: it is not the table that this program keeps its \
             idempotency records in, and migrating would not make it so; see `cratestack-schema ddl`",
            column.name
        ))),
    }
}
