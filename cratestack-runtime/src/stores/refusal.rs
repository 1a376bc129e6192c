use cratestack_schema::{Column, Dialect, IDEMPOTENCY, TableName};
use sqlx::error::DatabaseError;

use crate::StoreError;

/// What an error that the database itself raised means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The moment is bad, the statement is not.
    Unavailable,
    /// The table is missing or too old.
    Schema,
    /// The statement, or what was bound to it.
    Database,
}

pub(super) fn store_error(
    dialect: Dialect,
    table: &TableName,
    judge: fn(&dyn DatabaseError) -> Refusal,
    error: sqlx::Error,
) -> StoreError {
    match error {
        sqlx::Error::Database(refused) => {
            // The primary message alone: what else the database says can quote a row.
            let text = match refused.code() {
                Some(code) => format!("{} (code {code})", refused.message()),
                None => refused.message().to_owned(),
            };
            match judge(refused.as_ref()) {
                Refusal::Unavailable => StoreError::Unavailable(text),
                Refusal::Schema => StoreError::Schema(advice(dialect, table, &text)),
                Refusal::Database => StoreError::Database(text),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreError::Unavailable(error.to_string()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreError::Codec(error.to_string()),
        _ => StoreError::Database(error.to_string()),
    }
}

fn advice(dialect: Dialect, table: &TableName, said: &str) -> String {
    let store = match dialect {
        Dialect::Sqlite => "SqliteStore",
        _ => "PostgresStore",
    };
    format!(
        "the table {table} is missing or older than this program needs: call `{store}::migrate()` when the program \
         starts, or apply what `cratestack-schema ddl --dialect {dialect}{flags}` prints (the database said: {said})",
        flags = table.flags(),
    )
}

/// A table of this name lacks what it has had since its first version, so adding what later versions brought would
/// not make it ours.
pub(super) fn foreign_table(table: &TableName, column: &Column) -> StoreError {
    StoreError::Schema(format!(
        "there is a table {table}, but it has no column {}: it is not the table that this program keeps its \
         idempotency records in, and migrating would not make it so; see `cratestack-schema ddl`",
        column.name
    ))
}

/// A column of the first version that is not among `present`.
pub(super) fn lacking(present: &[String]) -> Option<&'static Column> {
    let columns: &'static [Column] = IDEMPOTENCY.columns;
    columns.iter().find(|column| column.since == 1 && !present.iter().any(|name| name == column.name))
}
