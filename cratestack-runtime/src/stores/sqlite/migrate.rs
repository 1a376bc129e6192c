use cratestack_schema::{Dialect, IDEMPOTENCY, Layout, columns};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::database::Database;
use crate::store::StoreError;
use crate::stores::sql::{lacking, refuse_foreign};

struct Found {
    columns: Vec<String>,
    indexed: bool,
}

impl Found {
    fn is_latest(&self) -> bool {
        self.indexed && lacking(&self.columns).next().is_none()
    }
}

pub(super) async fn migrate(database: &Database) -> Result<(), StoreError> {
    database.table.check(Dialect::Sqlite).map_err(|error| StoreError::Schema(error.to_string()))?;
    let layout = Layout::new((*database.table).clone());
    // Most starts find the table ready, and need not wait for other processes' writes to learn that.
    let mut connection = database.pool.acquire().await.map_err(database.error())?;
    if look(&mut connection, database).await?.is_some_and(|found| found.is_latest()) {
        return Ok(());
    }
    drop(connection);

    // IMMEDIATE: a transaction that began by reading could not wait for another's write, only fail.
    let mut transaction = database.pool.begin_with("BEGIN IMMEDIATE").await.map_err(database.error())?;
    match look(&mut transaction, database).await? {
        None => {
            let text = layout
                .ddl(Dialect::Sqlite, IDEMPOTENCY.latest())
                .map_err(|error| StoreError::Internal(error.to_string()))?;
            run(&mut transaction, database, text).await?;
        }
        Some(found) => {
            refuse_foreign(&database.table, &found.columns)?;
            for column in lacking(&found.columns) {
                run(&mut transaction, database, layout.add_column(Dialect::Sqlite, column)).await?;
            }
            if !found.indexed {
                run(&mut transaction, database, layout.create_index(Dialect::Sqlite)).await?;
            }
        }
    }
    transaction.commit().await.map_err(database.error())
}

async fn look(connection: &mut SqliteConnection, database: &Database) -> Result<Option<Found>, StoreError> {
    let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?1, ?2)")
        .bind(database.table.table())
        .bind(database.table.schema())
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .map_err(database.error())?;
    if columns.is_empty() {
        return Ok(None);
    }
    let index = sqlx::query(AssertSqlSafe(format!(
        "SELECT 1 FROM pragma_index_list(?1, ?2) AS listed, pragma_index_info(listed.name, ?2) AS part
        WHERE part.seqno = 0 AND part.name = '{expires_at}'",
        expires_at = columns::EXPIRES_AT,
    )))
    .bind(database.table.table())
    .bind(database.table.schema())
    .persistent(false)
    .fetch_optional(connection)
    .await
    .map_err(database.error())?;
    Ok(Some(Found { columns, indexed: index.is_some() }))
}

async fn run(connection: &mut SqliteConnection, database: &Database, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop).map_err(database.error())
}
