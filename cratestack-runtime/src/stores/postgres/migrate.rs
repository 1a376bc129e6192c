use std::time::{Duration, Instant};

use cratestack_schema::{Dialect, INSPECTION_COLUMNS, Inspection, LOCK_CLASS, NamedTable};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};
use tracing::warn;

use super::refused;
use crate::StoreError;
use crate::stores::refusal::unusable;

/// Everybody on the table queues behind a statement that waits for its lock, so it waits for a moment only, and comes
/// again after a pause that lets the queue drain.
const LOCK_TIMEOUT: &str = "250ms";
const PAUSE: Duration = Duration::from_millis(500);

/// How long a start goes on trying.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a process looks whether another has done its work.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Second half of the advisory locks' keys: who upgrades, and who builds an index.
const UPGRADING: i32 = 1;
const INDEXING: i32 = 2;

pub(super) async fn migrate(pool: &PgPool, table: &NamedTable) -> Result<(), StoreError> {
    // Most starts find the table ready. They only read the catalogue: DDL, also DDL that changes nothing, would queue
    // behind every long transaction on the table, and everybody else behind it.
    let mut connection = pool.acquire().await.map_err(refused)?;
    let found = look(&mut connection, table).await?;
    drop(connection);
    let steps = found.upgrade().map_err(|error| unusable(&error))?;
    if steps.iter().any(|step| step.needed) {
        patiently(pool, table).await?;
    }
    if steps.iter().any(|step| !step.needed && !step.alone) {
        // A VACUUM that happens to run holds these up. No program should fail to start for that.
        if let Err(error) = upgrade(pool, table, false, Instant::now()).await {
            warn!(%error, "storage options of the idempotency table not set; trying again at the next start");
        }
    }
    if steps.iter().any(|step| step.alone)
        && let Err(error) = index(pool, table).await
    {
        warn!(%error, "the index that finds expired idempotency records is missing; trying again at the next start");
    }
    Ok(())
}

/// Takes the steps that programs need, as soon as the table can be had.
async fn patiently(pool: &PgPool, table: &NamedTable) -> Result<(), StoreError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let refusal = match upgrade(pool, table, true, deadline).await {
            Ok(true) => return Ok(()),
            Ok(false) => StoreError::Unavailable("another process is upgrading the idempotency table".to_owned()),
            Err(error) => error,
        };
        // Somebody else (another start, a migration tool, an older program) may have done the same at the same moment.
        let mut connection = pool.acquire().await.map_err(refused)?;
        let found = look(&mut connection, table).await?;
        drop(connection);
        if found.upgrade().is_ok_and(|steps| steps.iter().all(|step| !step.needed)) {
            return Ok(());
        }
        if !matches!(refusal, StoreError::Unavailable(_)) || Instant::now() >= deadline {
            return Err(refusal);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Takes the steps that programs need, or the others, in one transaction. Does nothing and says so where another process
/// is at it.
async fn upgrade(pool: &PgPool, table: &NamedTable, needed: bool, deadline: Instant) -> Result<bool, StoreError> {
    let mut transaction = pool.begin().await.map_err(refused)?;
    if !locked(&mut transaction, &format!("pg_try_advisory_xact_lock({LOCK_CLASS}, {UPGRADING})")).await? {
        return Ok(false);
    }
    run(
        &mut transaction,
        format!(
            "SELECT set_config('lock_timeout', '{LOCK_TIMEOUT}', true) WHERE current_setting('lock_timeout') = '0'"
        ),
    )
    .await?;
    run(&mut transaction, "SAVEPOINT untouched".to_owned()).await?;
    while let Err(error) = take_steps(&mut transaction, table, needed).await {
        if !matches!(error, StoreError::Unavailable(_)) || Instant::now() >= deadline {
            return Err(error);
        }
        // The pause is taken with the advisory lock in hand: another process would only bring the queue back.
        run(&mut transaction, "ROLLBACK TO SAVEPOINT untouched".to_owned()).await?;
        tokio::time::sleep(PAUSE).await;
    }
    transaction.commit().await.map_err(refused)?;
    Ok(true)
}

async fn take_steps(connection: &mut PgConnection, table: &NamedTable, needed: bool) -> Result<(), StoreError> {
    let steps = look(connection, table).await?.upgrade().map_err(|error| unusable(&error))?;
    for step in steps.into_iter().filter(|step| step.needed == needed && !step.alone) {
        run(connection, step.sql).await?;
    }
    Ok(())
}

/// Builds the index while others read and write.
async fn index(pool: &PgPool, table: &NamedTable) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await.map_err(refused)?;
    // The session holds the lock, and must not go back to the pool with it if this future is dropped.
    connection.close_on_drop();
    // Asking again and again, because who builds waits for all who wait inside a statement.
    while !locked(&mut connection, &format!("pg_try_advisory_lock({LOCK_CLASS}, {INDEXING})")).await? {
        tokio::time::sleep(PAUSE).await;
    }
    // Building waits for every transaction that began before it, and some never end.
    run(&mut connection, "SET lock_timeout = '30s'".to_owned()).await?;
    let steps = look(&mut connection, table).await?.upgrade().map_err(|error| unusable(&error))?;
    for step in steps.into_iter().filter(|step| step.alone) {
        run(&mut connection, step.sql).await?;
    }
    Ok(())
}

pub(super) async fn look(connection: &mut PgConnection, table: &NamedTable) -> Result<Inspection, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(table.inspection(Dialect::Postgres)))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(refused)?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(table.inspect(Dialect::Postgres, rows))
}

fn read(row: &PgRow) -> Result<[Option<String>; INSPECTION_COLUMNS], StoreError> {
    let mut values = [const { None }; INSPECTION_COLUMNS];
    for (index, value) in values.iter_mut().enumerate() {
        *value = row.try_get(index).map_err(refused)?;
    }
    Ok(values)
}

async fn locked(connection: &mut PgConnection, lock: &str) -> Result<bool, StoreError> {
    let row = sqlx::query(AssertSqlSafe(format!("SELECT {lock}")))
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(refused)?;
    row.try_get(0).map_err(refused)
}

async fn run(connection: &mut PgConnection, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop).map_err(refused)
}
