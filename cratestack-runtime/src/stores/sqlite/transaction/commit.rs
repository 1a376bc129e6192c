//! Committing a transaction, in one commit with the record of its outcome.

use cratestack_schema::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, REQUEST_HASH, RESERVATION_ID,
    RESPONSE_BODY, RESPONSE_HEADERS, RESPONSE_STATUS,
};
use sqlx::{SqlStr, Sqlite};

use super::begin::on_savepoint;
use crate::store::{Claim, CommitError, Ending};
use crate::stores::sql::{Cause, OpenTransaction, dead, never_ended, recordable, shared};
use crate::stores::sqlite::database::{Database, TICK};

/// The finished row at once, of a transaction, kept from when it began. One that was dead then is replaced; whoever
/// reserved the key since is not, as its effect may have happened.
fn record(table: &str) -> String {
    format!(
        "INSERT INTO {table} AS held ({PRINCIPAL_FINGERPRINT}, {KEY}, {REQUEST_HASH}, {RESERVATION_ID},
            {RESPONSE_STATUS}, {RESPONSE_HEADERS}, {RESPONSE_BODY}, {CREATED_AT}, {EXPIRES_AT}, {ATTEMPT})
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?10, ?10 + ?8, ?9)
        ON CONFLICT ({PRINCIPAL_FINGERPRINT}, {KEY}) DO UPDATE SET
            {REQUEST_HASH} = excluded.{REQUEST_HASH},
            {RESERVATION_ID} = excluded.{RESERVATION_ID},
            {RESPONSE_STATUS} = excluded.{RESPONSE_STATUS},
            {RESPONSE_HEADERS} = excluded.{RESPONSE_HEADERS},
            {RESPONSE_BODY} = excluded.{RESPONSE_BODY},
            {CREATED_AT} = excluded.{CREATED_AT},
            {LEASE_EXPIRES_AT} = NULL,
            {EXPIRES_AT} = excluded.{EXPIRES_AT},
            {ATTEMPT} = excluded.{ATTEMPT}
        WHERE {dead}",
        dead = dead("held", "?10", &format!("excluded.{REQUEST_HASH}")),
    )
}

#[derive(Debug)]
pub(in crate::stores::sqlite) struct Commit {
    database: Database,
    record: SqlStr,
}

impl Commit {
    pub(in crate::stores::sqlite) fn new(database: Database) -> Self {
        Self { record: shared(record(&database.table.sql())), database }
    }

    pub(super) async fn run(
        &self,
        mut open: OpenTransaction<Sqlite>,
        ending: Option<Ending<'_>>,
    ) -> Result<(), CommitError> {
        let Some(ending) = ending else { return self.commit_unclaimed(open).await };
        recordable(ending.status).map_err(CommitError::Refused)?;
        if let Err(error) = self.record_in(&mut open, ending).await {
            if error == CommitError::Ended {
                // sqlx knows nothing of that end, and will roll back: there must be something to.
                let _ = sqlx::raw_sql("BEGIN").execute(open.connection_mut()).await;
            }
            rollback(open).await;
            return Err(error);
        }
        self.end(open).await
    }

    async fn commit_unclaimed(&self, mut open: OpenTransaction<Sqlite>) -> Result<(), CommitError> {
        // It is gone where the handler has ended the transaction by itself; the depth is known afterwards.
        if on_savepoint(&mut open, "RELEASE").await.is_ok() && !open.is_outermost() {
            rollback(open).await;
            return Err(CommitError::Refused(never_ended()));
        }
        self.end(open).await
    }

    async fn record_in(&self, open: &mut OpenTransaction<Sqlite>, ending: Ending<'_>) -> Result<(), CommitError> {
        let refused = |error| CommitError::Refused(self.database.error()(error));
        if !ending.keep_writes {
            on_savepoint(open, "ROLLBACK TO").await.map_err(|_| CommitError::Ended)?;
        }
        // It is gone where the handler has ended the transaction by itself.
        on_savepoint(open, "RELEASE").await.map_err(|_| CommitError::Ended)?;
        // Known once the statement before has been through the connection's queue.
        if !open.is_outermost() {
            return Err(CommitError::Refused(never_ended()));
        }
        let Claim { principal, key, request_hash, retention, .. } = ending.claim;
        let recorded = sqlx::query(self.record.clone())
            .bind(principal)
            .bind(key)
            .bind(request_hash.as_slice())
            .bind(ending.token)
            .bind(i64::from(ending.status))
            .bind(ending.headers)
            .bind(ending.body.as_ref())
            .bind(TICK.count(retention))
            .bind(i64::from(ending.attempt))
            .bind(open.began)
            .execute(open.connection_mut())
            .await
            .map_err(refused)?;
        if recorded.rows_affected() > 0 { Ok(()) } else { Err(CommitError::Taken) }
    }

    async fn end(&self, open: OpenTransaction<Sqlite>) -> Result<(), CommitError> {
        open.commit().await.map_err(|error| {
            let cause = Cause::of_sqlx(&error);
            let error = self.database.error()(error);
            match cause {
                Some(cause) if cause.is_unavailable() => CommitError::Transient(error),
                Some(_) => CommitError::Refused(error),
                None => CommitError::Unknown(error),
            }
        })
    }
}

pub(super) async fn rollback(mut open: OpenTransaction<Sqlite>) {
    if open.rollback().await.is_err() {
        open.close_on_drop();
    }
}
