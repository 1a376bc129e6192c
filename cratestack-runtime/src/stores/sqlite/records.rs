//! What an operator sees of the rows, and removes.

use cratestack_schema::Dialect;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::database::Database;
use crate::store::{
    RecordIdRef, RecordInfo, RecordQuery, RecordState, Removal, RemovalOutcome, RemovedAll, StoreError,
};
use crate::stores::sql::records::{self, bound};

const SQLITE: Dialect = Dialect::Sqlite;

pub(super) async fn show(database: &Database, id: RecordIdRef<'_>) -> Result<Option<RecordInfo>, StoreError> {
    let shown = bound(records::show(SQLITE, &database.table, id)).fetch_optional(&database.pool).await;
    shown.map_err(database.error())?.map(|row| records::info(&row, database.error())).transpose()
}

pub(super) async fn list(database: &Database, query: &RecordQuery) -> Result<Vec<RecordInfo>, StoreError> {
    let listed = bound(records::list(SQLITE, &database.table, query)).fetch_all(&database.pool).await;
    listed.map_err(database.error())?.iter().map(|row| records::info(row, database.error())).collect()
}

pub(super) async fn remove(
    database: &Database,
    id: RecordIdRef<'_>,
    removal: Removal,
) -> Result<RemovalOutcome, StoreError> {
    let statement = database.table.remove(SQLITE, id.principal, id.key, &records::removing(removal));
    if let Some(state) = run(database, statement).await?.first() {
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
    let statement = database.table.remove_all_of(SQLITE, principal, &records::removing(removal), limit);
    let removed = run(database, statement).await?.len() as u64;
    if removed >= u64::from(limit) {
        return Ok(RemovedAll { removed, running: 0 });
    }
    let running = bound(records::running(SQLITE, &database.table, principal, u32::MAX)).fetch_all(&database.pool).await;
    Ok(RemovedAll { removed, running: running.map_err(database.error())?.len() as u64 })
}

/// Removes, and in the same transaction tells the processes that keep outcomes in memory. The states of what is gone.
async fn run(database: &Database, statement: cratestack_schema::Statement) -> Result<Vec<RecordState>, StoreError> {
    let _turn = database.turn.take().await;
    let mut transaction = database.pool.begin_with("BEGIN IMMEDIATE").await.map_err(database.error())?;
    let rows = bound(statement).fetch_all(&mut *transaction).await.map_err(database.error())?;
    let (mut states, mut expiry) = (Vec::with_capacity(rows.len()), None);
    for row in rows {
        let state = records::state(row.try_get(0).map_err(database.error())?)?;
        if matches!(state, RecordState::Finished | RecordState::Expired) {
            expiry = expiry.max(Some(row.try_get::<i64, _>(1).map_err(database.error())?));
        }
        states.push(state);
    }
    if let Some(expiry) = expiry {
        mark_forgotten(database, &mut transaction, expiry).await?;
    }
    transaction.commit().await.map_err(database.error())?;
    Ok(states)
}

async fn mark_forgotten(database: &Database, connection: &mut SqliteConnection, expiry: i64) -> Result<(), StoreError> {
    let mark = sqlx::query(AssertSqlSafe(database.table.mark_forgotten())).persistent(false).bind(expiry);
    mark.execute(connection).await.map(drop).map_err(database.error())
}
