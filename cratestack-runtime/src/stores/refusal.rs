use cratestack_schema::{Dialect, Unusable};
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
                Refusal::Schema => StoreError::Schema(advice(dialect, &text)),
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

fn advice(dialect: Dialect, said: &str) -> String {
    let store = match dialect {
        Dialect::Sqlite => "SqliteStore",
        _ => "PostgresStore",
    };
    // Which table, the database says itself.
    format!(
        "the idempotency table is missing or older than this program needs: call `{store}::migrate()` when the program \
         starts, or apply what `cratestack-schema ddl --dialect {dialect}` prints (the database said: {said})"
    )
}

/// Something else has the table's name.
pub(super) fn unusable(error: &Unusable) -> StoreError {
    StoreError::Schema(error.to_string())
}
