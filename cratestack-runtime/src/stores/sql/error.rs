//! What an error of sqlx means here: every code of either database that is told from others, in one table each.

use cratestack_schema::{Dialect, TableName};
use sqlx::error::DatabaseError;

use crate::store::StoreError;

/// What an error that the database itself raised was caused by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Transactions were in each other's way. Another attempt may succeed.
    Contention,
    /// A lock was not to be had in time.
    LockTimeout,
    /// The server has no memory for another lock.
    LockTableFull,
    /// The moment is bad, the statement is not.
    Unavailable,
    /// The table is missing or too old.
    Schema,
    /// The role may not do this.
    Rights,
    /// A constraint is violated, or a trigger objects.
    Constraint,
    /// There is no transaction, or not the one that there was.
    NoTransaction,
    /// An earlier statement has failed, and with it the transaction.
    FailedTransaction,
    /// The statement itself, or what was bound to it.
    Statement,
}

/// SQLSTATEs and the beginnings of SQLSTATEs. The first line that fits counts.
const SQLSTATES: &[(Cause, &[&str])] = &[
    // serialization_failure, deadlock_detected
    (Cause::Contention, &["40001", "40P01"]),
    // lock_not_available
    (Cause::LockTimeout, &["55P03"]),
    // out_of_memory: each lock takes some of what is shared
    (Cause::LockTableFull, &["53200"]),
    // read_only_sql_transaction (a standby after a failover), idle_in_transaction_session_timeout, transaction_timeout,
    // query_canceled (it took too long); connections, resources, shutdown
    (Cause::Unavailable, &["25006", "25P03", "25P04", "57014", "08", "53", "57P0"]),
    // undefined_table, undefined_column, invalid_schema_name
    (Cause::Schema, &["42P01", "42703", "3F000"]),
    // insufficient_privilege
    (Cause::Rights, &["42501"]),
    // integrity constraints, `WITH CHECK OPTION`, exceptions that triggers raise
    (Cause::Constraint, &["23", "44", "P0"]),
    // invalid_savepoint_specification, no_active_sql_transaction
    (Cause::NoTransaction, &["3B001", "25P01"]),
    // in_failed_sql_transaction
    (Cause::FailedTransaction, &["25P02"]),
];

/// SQLite's primary result codes.
const SQLITE_CODES: &[(Cause, &[u32])] = &[
    // BUSY, LOCKED
    (Cause::Contention, &[5, 6]),
    // IOERR, FULL, CANTOPEN
    (Cause::Unavailable, &[10, 13, 14]),
];

/// SQLite's ERROR is for anything: only its text tells what a statement stumbled over.
const SQLITE_ERROR: u32 = 1;
const SQLITE_SCHEMA_ERRORS: [&str; 3] = ["no such table", "no such column", "has no column named"];

impl Cause {
    pub(crate) fn of(error: &dyn DatabaseError) -> Self {
        error.code().map_or(Self::Statement, |code| Self::of_code(&code, error.message()))
    }

    /// `None` where the error is none of the database's own.
    pub(crate) fn of_sqlx(error: &sqlx::Error) -> Option<Self> {
        error.as_database_error().map(Self::of)
    }

    fn of_code(code: &str, message: &str) -> Self {
        let cause = match code.parse::<u32>() {
            // No code of SQLite is as long as an SQLSTATE. The low byte is the primary one.
            Ok(number) if code.len() < 5 => match number & 0xff {
                SQLITE_ERROR if SQLITE_SCHEMA_ERRORS.iter().any(|sign| message.contains(sign)) => Some(Self::Schema),
                primary => SQLITE_CODES.iter().find(|(_, codes)| codes.contains(&primary)).map(|(cause, _)| *cause),
            },
            _ => {
                let fits = |beginnings: &[&str]| beginnings.iter().any(|beginning| code.starts_with(beginning));
                SQLSTATES.iter().find(|(_, beginnings)| fits(beginnings)).map(|(cause, _)| *cause)
            }
        };
        cause.unwrap_or(Self::Statement)
    }

    /// Whether the same statement may succeed at another moment.
    pub(crate) fn is_unavailable(self) -> bool {
        matches!(self, Self::Contention | Self::LockTimeout | Self::LockTableFull | Self::Unavailable)
    }
}

pub(crate) fn store_error(dialect: Dialect, table: &TableName, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(refused) => {
            // The primary message alone: what else the database says can quote a row.
            let text = match refused.code() {
                Some(code) => format!("{} (code {code})", refused.message()),
                None => refused.message().to_owned(),
            };
            match Cause::of(refused.as_ref()) {
                cause if cause.is_unavailable() => StoreError::Unavailable(text),
                Cause::Schema => StoreError::Schema(advice(dialect, table, &text)),
                _ => StoreError::Database(text),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_are_told_apart() {
        let cause = |code| Cause::of_code(code, "");
        for code in ["08006", "53300", "57P01", "57P03", "25006", "25P03", "25P04", "55P03", "53200", "40001", "40P01"]
        {
            assert!(cause(code).is_unavailable(), "{code}");
        }
        for code in ["42P01", "42703", "3F000"] {
            assert_eq!(cause(code), Cause::Schema, "{code}");
        }
        for code in ["", "22021", "54000"] {
            assert_eq!(cause(code), Cause::Statement, "{code}");
        }
        assert_eq!(cause("42501"), Cause::Rights);
        assert_eq!(["23505", "44000", "P0001"].map(cause), [Cause::Constraint; 3]);
        assert_eq!(["3B001", "25P01"].map(cause), [Cause::NoTransaction; 2]);
    }

    #[test]
    fn what_comes_first_does_not_hide_what_comes_after() {
        for (cause, beginnings) in SQLSTATES {
            for beginning in *beginnings {
                assert_eq!(Cause::of_code(&format!("{beginning:0<5}"), ""), *cause, "{beginning}");
            }
        }
    }

    #[test]
    fn codes_of_sqlite_are_told_apart_by_their_low_byte() {
        for code in ["5", "261", "517", "6", "262"] {
            assert_eq!(Cause::of_code(code, ""), Cause::Contention, "{code}");
        }
        for code in ["10", "266", "13", "14"] {
            assert_eq!(Cause::of_code(code, ""), Cause::Unavailable, "{code}");
        }
        assert_eq!(Cause::of_code("1", "no such table: x"), Cause::Schema);
        assert_eq!(["1", "19", "2067"].map(|code| Cause::of_code(code, "")), [Cause::Statement; 3]);
    }
}
