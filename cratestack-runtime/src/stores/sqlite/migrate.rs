use cratestack_schema::{Dialect, INSPECTION_COLUMNS, Inspection, NamedTable};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};

use super::refused;
use crate::StoreError;
use crate::stores::refusal::unusable;

pub(super) async fn migrate(pool: &SqlitePool, table: &NamedTable) -> Result<(), StoreError> {
    // Most starts find the table ready, and need not wait for other processes' writes to learn that.
    let mut connection = pool.acquire().await.map_err(refused)?;
    if look(&mut connection, table).await?.upgrade().is_ok_and(|steps| steps.is_empty()) {
        return Ok(());
    }
    drop(connection);

    // IMMEDIATE: a transaction that began by reading could not wait for another's write, only fail.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(refused)?;
    for step in look(&mut transaction, table).await?.upgrade().map_err(|error| unusable(&error))? {
        run(&mut transaction, step.sql).await?;
    }
    transaction.commit().await.map_err(refused)
}

pub(super) async fn look(connection: &mut SqliteConnection, table: &NamedTable) -> Result<Inspection, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(table.inspection(Dialect::Sqlite)))
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(refused)?;
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(table.inspect(Dialect::Sqlite, rows))
}

fn read(row: &SqliteRow) -> Result<[Option<String>; INSPECTION_COLUMNS], StoreError> {
    let mut values = [const { None }; INSPECTION_COLUMNS];
    for (index, value) in values.iter_mut().enumerate() {
        *value = row.try_get(index).map_err(refused)?;
    }
    Ok(values)
}

async fn run(connection: &mut SqliteConnection, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop).map_err(refused)
}
