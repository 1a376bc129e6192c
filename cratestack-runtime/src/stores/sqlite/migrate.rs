use cratestack_schema::{Dialect, IDEMPOTENCY, Layout, TableName, columns};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};

use super::database::error_of;
use crate::store::StoreError;
use crate::stores::sql::refuse_foreign;

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

pub(super) async fn migrate(pool: &SqlitePool, table: &TableName) -> Result<(), StoreError> {
    table.check(Dialect::Sqlite).map_err(|error| StoreError::Schema(error.to_string()))?;
    let layout = Layout::new(table.clone());
    // Most starts find the table ready, and need not wait for other processes' writes to learn that.
    let mut connection = pool.acquire().await.map_err(error_of(table))?;
    if look(&mut connection, table).await?.is_some_and(|found| found.is_latest()) {
        return Ok(());
    }
    drop(connection);

    // IMMEDIATE: a transaction that began by reading could not wait for another's write, only fail.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(error_of(table))?;
    match look(&mut transaction, table).await? {
        None => {
            let text = layout
                .ddl(Dialect::Sqlite, IDEMPOTENCY.latest())
                .map_err(|error| StoreError::Internal(error.to_string()))?;
            run(&mut transaction, table, text).await?;
        }
        Some(found) => {
            refuse_foreign(table, &found.columns)?;
            for column in IDEMPOTENCY.columns.iter().filter(|column| !found.has(column.name)) {
                run(&mut transaction, table, layout.add_column(Dialect::Sqlite, column)).await?;
            }
            if !found.indexed {
                run(&mut transaction, table, layout.create_index(Dialect::Sqlite)).await?;
            }
        }
    }
    transaction.commit().await.map_err(error_of(table))
}

async fn look(connection: &mut SqliteConnection, table: &TableName) -> Result<Option<Found>, StoreError> {
    let rows = sqlx::query("SELECT name FROM pragma_table_info(?1, ?2)")
        .bind(table.table())
        .bind(table.schema())
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .map_err(error_of(table))?;
    let columns: Vec<String> =
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(error_of(table))?;
    if columns.is_empty() {
        return Ok(None);
    }
    let index = sqlx::query(AssertSqlSafe(format!(
        "SELECT 1 FROM pragma_index_list(?1, ?2) AS listed, pragma_index_info(listed.name, ?2) AS part
        WHERE part.seqno = 0 AND part.name = '{expires_at}'",
        expires_at = columns::EXPIRES_AT,
    )))
    .bind(table.table())
    .bind(table.schema())
    .persistent(false)
    .fetch_optional(connection)
    .await
    .map_err(error_of(table))?;
    Ok(Some(Found { columns, indexed: index.is_some() }))
}

async fn run(connection: &mut SqliteConnection, table: &TableName, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop).map_err(error_of(table))
}
