use cratestack_schema::{Dialect, IDEMPOTENCY, LOCK_CLASS, Layout, TableName, columns};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};

use super::refused;
use crate::StoreError;
use crate::stores::refusal::{foreign_table, lacking};

/// What the catalogue says of the table that unqualified statements would find.
struct Found {
    columns: Vec<String>,
    indexed: bool,
    partitioned: bool,
}

impl Found {
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    fn is_latest(&self) -> bool {
        self.indexed && IDEMPOTENCY.columns.iter().all(|column| self.has(column.name))
    }
}

pub(super) async fn migrate(pool: &PgPool, table: &TableName) -> Result<(), StoreError> {
    // Most starts find the table ready. They only read the catalogue: DDL, also DDL that changes nothing, would queue
    // behind every long transaction on the table, and everybody else behind it.
    let mut connection = pool.acquire().await.map_err(refused(table))?;
    if look(&mut connection, table).await?.is_some_and(|found| found.is_latest()) {
        return Ok(());
    }
    drop(connection);

    match upgrade(pool, table).await {
        Ok(()) => Ok(()),
        // Somebody else (a migration tool, an older program) may have created the same at the same moment.
        Err(error) => {
            let mut connection = pool.acquire().await.map_err(refused(table))?;
            match look(&mut connection, table).await {
                Ok(Some(found)) if found.is_latest() => Ok(()),
                _ => Err(error),
            }
        }
    }
}

async fn upgrade(pool: &PgPool, table: &TableName) -> Result<(), StoreError> {
    let layout = Layout::new(table.clone());
    let mut transaction = pool.begin().await.map_err(refused(table))?;
    run(&mut transaction, table, format!("SELECT pg_advisory_xact_lock({LOCK_CLASS}, 1)")).await?;
    // The queue of starting processes may be long; the wait for the table itself must not be, as all traffic on the
    // table waits with it.
    run(
        &mut transaction,
        table,
        "SELECT set_config('lock_timeout', '5s', true) WHERE current_setting('lock_timeout') = '0'".to_owned(),
    )
    .await?;

    match look(&mut transaction, table).await? {
        None => run(&mut transaction, table, ddl(layout.ddl(Dialect::Postgres, IDEMPOTENCY.latest()))?).await?,
        // Not the whole text: its CREATE would look into the first schema of the search path only, and shadow a table
        // that was found in another.
        Some(found) => {
            // How many partitions there are matters to creation only.
            let layout = if found.partitioned { layout.partitions(1) } else { layout };
            if let Some(column) = lacking(&found.columns) {
                return Err(foreign_table(table, column));
            }
            if !found.indexed {
                run(&mut transaction, table, layout.create_index(Dialect::Postgres)).await?;
            }
            for version in 2..=IDEMPOTENCY.latest() {
                let mut added = IDEMPOTENCY.columns.iter().filter(|column| column.since == version);
                if added.any(|column| !found.has(column.name)) {
                    let statements = ddl(layout.migration(Dialect::Postgres, version))?;
                    run(&mut transaction, table, statements.join("\n")).await?;
                }
            }
        }
    }
    transaction.commit().await.map_err(refused(table))
}

async fn look(connection: &mut PgConnection, table: &TableName) -> Result<Option<Found>, StoreError> {
    // `to_regclass` follows the search path as the statements do, takes no lock and finds NULL where there is nothing.
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT (SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = to_regclass($1)),
            ARRAY(
                SELECT attname::text FROM pg_catalog.pg_attribute
                WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
            ),
            EXISTS (
                SELECT 1 FROM pg_catalog.pg_index AS i
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND a.attname = '{expires_at}'
            )",
        expires_at = columns::EXPIRES_AT,
    )))
    .bind(table.sql())
    .persistent(false)
    .fetch_one(connection)
    .await
    .map_err(refused(table))?;
    let partitioned: Option<bool> = row.try_get(0).map_err(refused(table))?;
    let columns = row.try_get(1).map_err(refused(table))?;
    let indexed = row.try_get(2).map_err(refused(table))?;
    Ok(partitioned.map(|partitioned| Found { columns, indexed, partitioned }))
}

async fn run(connection: &mut PgConnection, table: &TableName, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop).map_err(refused(table))
}

fn ddl<T>(rendered: Result<T, cratestack_schema::UnknownVersion>) -> Result<T, StoreError> {
    rendered.map_err(|error| StoreError::Internal(error.to_string()))
}
