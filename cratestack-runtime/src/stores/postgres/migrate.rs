use cratestack_schema::{Dialect, INSPECTION_COLUMNS, Inspection, LOCK_CLASS, NamedTable};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};

use super::refused;
use crate::StoreError;
use crate::stores::refusal::unusable;

pub(super) async fn migrate(pool: &PgPool, table: &NamedTable) -> Result<(), StoreError> {
    // Most starts find the table ready. They only read the catalogue: DDL, also DDL that changes nothing, would queue
    // behind every long transaction on the table, and everybody else behind it.
    let mut connection = pool.acquire().await.map_err(refused)?;
    if is_latest(&look(&mut connection, table).await?) {
        return Ok(());
    }
    drop(connection);

    match upgrade(pool, table, true).await {
        Ok(()) => {}
        // Somebody else (a migration tool, an older program) may have created the same at the same moment.
        Err(error) => {
            let mut connection = pool.acquire().await.map_err(refused)?;
            match look(&mut connection, table).await {
                Ok(found) if !is_wanting(&found) => {}
                _ => return Err(error),
            }
        }
    }
    // A VACUUM that happens to run holds these up. No program should fail to start for that.
    if let Err(error) = upgrade(pool, table, false).await {
        tracing::warn!(%error, "storage options of the idempotency table not set; trying again at the next start");
    }
    Ok(())
}

fn is_latest(found: &Inspection) -> bool {
    found.upgrade().is_ok_and(|steps| steps.is_empty())
}

fn is_wanting(found: &Inspection) -> bool {
    found.upgrade().map_or(true, |steps| steps.iter().any(|step| step.needed))
}

/// Takes the steps that programs need, or the others.
async fn upgrade(pool: &PgPool, table: &NamedTable, needed: bool) -> Result<(), StoreError> {
    let mut transaction = pool.begin().await.map_err(refused)?;
    run(&mut transaction, format!("SELECT pg_advisory_xact_lock({LOCK_CLASS}, 1)")).await?;
    // The queue of starting processes may be long; the wait for the table itself must not be, as all traffic on the
    // table waits with it.
    run(
        &mut transaction,
        "SELECT set_config('lock_timeout', '5s', true) WHERE current_setting('lock_timeout') = '0'".to_owned(),
    )
    .await?;
    let steps = look(&mut transaction, table).await?.upgrade().map_err(|error| unusable(&error))?;
    for step in steps.into_iter().filter(|step| step.needed == needed) {
        run(&mut transaction, step.sql).await?;
    }
    transaction.commit().await.map_err(refused)
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

async fn run(connection: &mut PgConnection, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop).map_err(refused)
}
