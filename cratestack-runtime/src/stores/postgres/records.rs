//! What an operator sees of the rows, and removes.

use cratestack_schema::{Dialect, Statement};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::database::{Database, refuse_nul};
use crate::store::{
    RecordIdRef, RecordInfo, RecordQuery, RecordState, Removal, RemovalOutcome, RemovedAll, StoreError,
};
use crate::stores::sql::Cause;
use crate::stores::sql::records::{self, bound};

const POSTGRES: Dialect = Dialect::Postgres;

/// How often a removal is tried that others are in the way of.
const MAX_ATTEMPTS: u32 = 5;

/// The role may not read the table; the table, or a column of it, is missing. Such a service keeps nothing.
const NO_TABLE: [&str; 4] = ["42501", "42P01", "42703", "3F000"];

pub(super) async fn show(database: &Database, id: RecordIdRef<'_>) -> Result<Option<RecordInfo>, StoreError> {
    refuse_nul(id)?;
    let shown = bound(records::show(POSTGRES, &database.table, id)).fetch_optional(&database.pool).await;
    shown.map_err(database.error())?.map(|row| records::info(&row, database.error())).transpose()
}

pub(super) async fn list(database: &Database, query: &RecordQuery) -> Result<Vec<RecordInfo>, StoreError> {
    let listed = bound(records::list(POSTGRES, &database.table, query)).fetch_all(&database.pool).await;
    listed.map_err(database.error())?.iter().map(|row| records::info(row, database.error())).collect()
}

/// Those who wait for the key in other processes find it free when they poll.
pub(super) async fn remove(
    database: &Database,
    id: RecordIdRef<'_>,
    removal: Removal,
) -> Result<RemovalOutcome, StoreError> {
    refuse_nul(id)?;
    let statement = database.table.remove(POSTGRES, id.principal, id.key, &records::removing(removal));
    if let Some(state) = run(database, &statement).await?.first() {
        return Ok(RemovalOutcome::Removed(*state));
    }
    // What it is, is looked at afterwards: it may have become another by then, but it was none to remove.
    let left = show(database, id).await?;
    Ok(left.map_or(RemovalOutcome::Absent, |record| RemovalOutcome::Refused(record.state)))
}

pub(super) async fn remove_all_of(
    database: &Database,
    principal: &str,
    removal: Removal,
    limit: u32,
) -> Result<RemovedAll, StoreError> {
    refuse_nul(RecordIdRef { principal, key: "" })?;
    let statement = database.table.remove_all_of(POSTGRES, principal, &records::removing(removal), limit);
    let removed = run(database, &statement).await?.len() as u64;
    if removed >= u64::from(limit) {
        return Ok(RemovedAll { removed, running: 0 });
    }
    let running = records::running(POSTGRES, &database.table, principal, u32::MAX);
    let running = bound(running).fetch_all(&database.pool).await.map_err(database.error())?;
    Ok(RemovedAll { removed, running: running.len() as u64 })
}

/// The states of what is gone.
async fn run(database: &Database, statement: &Statement) -> Result<Vec<RecordState>, StoreError> {
    let state = |row: &PgRow| records::state(row.try_get(0).map_err(database.error())?);
    let mut attempts = 1;
    loop {
        match bound(statement.clone()).fetch_all(&database.pool).await {
            // Where the default isolation is stricter than READ COMMITTED, a row that somebody has changed meanwhile is
            // an error; nothing has happened.
            Err(error) if attempts < MAX_ATTEMPTS && Cause::of_sqlx(&error) == Some(Cause::Contention) => attempts += 1,
            rows => return rows.map_err(database.error())?.iter().map(state).collect(),
        }
    }
}

/// What changes when outcomes are removed that processes keep in memory; nil where none was of late.
///
/// One text without parameters, so that it passes through any pooler.
pub(super) async fn forgotten_mark(database: &Database) -> Result<u128, StoreError> {
    let mut priority = database.priority.acquire().await.map_err(database.error())?;
    let mark = sqlx::raw_sql(AssertSqlSafe(database.table.forgotten_mark()));
    match mark.fetch_optional(&mut *priority.connection).await {
        Ok(None) => Ok(0),
        Ok(Some(row)) => row.try_get(0).map(|mark: Uuid| mark.as_u128()).map_err(database.error()),
        Err(sqlx::Error::Database(refused)) if refused.code().is_some_and(|code| NO_TABLE.contains(&&*code)) => Ok(0),
        Err(error) => Err(database.error()(error)),
    }
}
