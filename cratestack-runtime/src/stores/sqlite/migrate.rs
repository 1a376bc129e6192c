use cratestack_schema::{Dialect, IDEMPOTENCY, TABLE, columns};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};

use super::refused;
use crate::StoreError;
use crate::stores::refusal::{foreign_table, lacking};

struct Found {
    columns: Vec<String>,
    indexed: bool,
}

impl Found {
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    fn is_latest(&self) -> bool {
        self.indexed && IDEMPOTENCY.columns.iter().all(|column| self.has(column.name))
    }
}

pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    // Most starts find the table ready, and need not wait for other processes' writes to learn that.
    let mut connection = pool.acquire().await.map_err(refused)?;
    if look(&mut connection).await?.is_some_and(|found| found.is_latest()) {
        return Ok(());
    }
    drop(connection);

    // IMMEDIATE: a transaction that began by reading could not wait for another's write, only fail.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(refused)?;
    match look(&mut transaction).await? {
        None => {
            let text = IDEMPOTENCY
                .ddl(Dialect::Sqlite, IDEMPOTENCY.latest())
                .map_err(|error| StoreError::Internal(error.to_string()))?;
            run(&mut transaction, text).await?;
        }
        Some(found) => {
            if let Some(column) = lacking(&found.columns) {
                return Err(foreign_table(column));
            }
            for column in IDEMPOTENCY.columns.iter().filter(|column| !found.has(column.name)) {
                run(&mut transaction, IDEMPOTENCY.add_column(Dialect::Sqlite, column)).await?;
            }
            if !found.indexed {
                run(&mut transaction, IDEMPOTENCY.create_index()).await?;
            }
        }
    }
    transaction.commit().await.map_err(refused)
}

async fn look(connection: &mut SqliteConnection) -> Result<Option<Found>, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{TABLE}')")))
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .map_err(refused)?;
    let columns: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(refused)?;
    if columns.is_empty() {
        return Ok(None);
    }
    let index = sqlx::query(AssertSqlSafe(format!(
        "SELECT 1 FROM pragma_index_list('{TABLE}') AS listed, pragma_index_info(listed.name) AS part
        WHERE part.seqno = 0 AND part.name = '{expires_at}'",
        expires_at = columns::EXPIRES_AT,
    )))
    .persistent(false)
    .fetch_optional(connection)
    .await
    .map_err(refused)?;
    Ok(Some(Found { columns, indexed: index.is_some() }))
}

async fn run(connection: &mut SqliteConnection, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop).map_err(refused)
}
