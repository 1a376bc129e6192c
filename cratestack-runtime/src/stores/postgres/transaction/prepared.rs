//! Transactions that their handlers have prepared for a commit in two phases.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Postgres};

use crate::store::{CommitError, StoreError};
use crate::stores::sql::{OpenTransaction, SessionId};

/// How long the record, and then the commit, may take.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn late(what: &str) -> StoreError {
    StoreError::Unavailable(format!("no answer to {what} within {COMMIT_TIMEOUT:?}"))
}

/// The name, as a literal, of the prepared transaction that has an advisory lock. It is found by what else it has
/// locked, its own number.
const PREPARED: &str = "SELECT quote_literal(prepared.gid)
    FROM pg_prepared_xacts AS prepared
    JOIN pg_locks AS own ON own.locktype = 'transactionid' AND own.transactionid = prepared.transaction
    JOIN pg_locks AS held ON held.virtualtransaction = own.virtualtransaction
    WHERE own.pid IS NULL AND held.pid IS NULL AND prepared.database = current_database()
      AND held.locktype = 'advisory' AND held.objsubid = 1
      AND ((held.classid::bigint << 32) | held.objid::bigint) = $1";

/// What became of a transaction that the session is not in any more. One that was prepared for a commit in two phases
/// holds its key and all its locks until somebody ends it, and nobody can record its outcome in that commit.
pub(super) async fn what_became_of(
    open: &mut OpenTransaction<Postgres>,
    store_error: impl FnOnce(sqlx::Error) -> StoreError,
) -> CommitError {
    let lock = match open.session {
        SessionId::OfKey { lock, .. } | SessionId::OfLock { lock, .. } => Some(lock),
        SessionId::None => None,
    };
    let undo = async {
        let prepared: Option<String> =
            sqlx::query_scalar(PREPARED).bind(lock).fetch_optional(open.connection_mut()).await?;
        let Some(prepared) = prepared else { return Ok(CommitError::Ended) };
        let undo = AssertSqlSafe(format!("ROLLBACK PREPARED {prepared}"));
        sqlx::raw_sql(undo).execute(open.connection_mut()).await?;
        Ok(CommitError::Refused(StoreError::Internal(
            "the handler prepared its transaction (`PREPARE TRANSACTION`), which is rolled back: its outcome could not be \
             committed with it. Let the handler return without ending its transaction, or use no `transaction` for work \
             in two phases"
                .to_owned(),
        )))
    };
    match tokio::time::timeout(COMMIT_TIMEOUT, undo).await {
        Ok(Ok(ended)) => ended,
        // Somebody else has ended it in between.
        Ok(Err(sqlx::Error::Database(_))) => CommitError::Ended,
        Ok(Err(error)) => CommitError::Unknown(store_error(error)),
        Err(_) => CommitError::Unknown(late("what became of the handler's transaction")),
    }
}
