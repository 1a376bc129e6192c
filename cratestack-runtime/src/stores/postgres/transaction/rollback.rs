//! Undoing a transaction, also one that is not in our hands.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use tracing::warn;

use crate::stores::sql::{OpenTransaction, SessionId};

/// A transaction that is idle rolls back within a round trip. One that is in a statement of the handler's would do so
/// only after it.
const ROLLBACK_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a session may take to end.
const TERMINATION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether a session that is to end has ended.
const TERMINATION_POLL: Duration = Duration::from_millis(5);

pub(in crate::stores::postgres) async fn rollback(pool: &PgPool, mut open: OpenTransaction<Postgres>) {
    let rolled_back = tokio::time::timeout(ROLLBACK_TIMEOUT, undo(&mut open)).await;
    if let Ok(Ok(())) = rolled_back {
        return;
    }
    open.close_on_drop();
    // The server notices that a connection is gone only after the statement that it executes; the key, and
    // whatever else is locked, must not wait for that.
    if rolled_back.is_err() {
        terminate(pool, open.session).await;
    }
}

async fn undo(open: &mut OpenTransaction<Postgres>) -> Result<(), sqlx::Error> {
    match open.place {
        Some(_) => open.end_by("ROLLBACK").await,
        None => open.rollback().await,
    }
}

/// Says whether the transaction is known to have ended.
pub(in crate::stores::postgres) async fn terminate(pool: &PgPool, session: SessionId) -> bool {
    let ended = end_session(pool, session).await;
    if let Err(error) = &ended {
        warn!(%error, "a transaction's session could not be ended; what it has locked is locked until it ends by itself");
    }
    ended.is_ok()
}

/// The session that holds an advisory lock, where it is the one with this number, if one is given. A transaction that
/// was prepared for a commit in two phases holds its locks in no session.
const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE pid = COALESCE($1, pid) AND locktype = 'advisory' AND objsubid = 1
      AND ((classid::bigint << 32) | objid::bigint) = $2
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Ends a session from outside, and waits until it has let go of its lock: the server is only told to end it. Its pool
/// may have no connection to spare, so this takes one of its own. After a failover another session may have got its
/// number, so it is known by its lock.
async fn end_session(pool: &PgPool, session: SessionId) -> Result<(), sqlx::Error> {
    let (pid, lock) = match session {
        SessionId::None => return Ok(()),
        SessionId::OfKey { pid, lock } => (Some(pid), lock),
        SessionId::OfLock { lock, .. } => (None, lock),
    };
    let ending = async {
        let mut aside = PgConnection::connect_with(&pool.connect_options()).await?;
        loop {
            let signalled: Option<bool> =
                sqlx::query_scalar(TERMINATE).bind(pid).bind(lock).fetch_optional(&mut aside).await?;
            if signalled.is_none() {
                return aside.close().await;
            }
            tokio::time::sleep(TERMINATION_POLL).await;
        }
    };
    tokio::time::timeout(TERMINATION_TIMEOUT, ending).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
