use std::time::{Duration, Instant};

use cratestack_schema::{Dialect, IDEMPOTENCY, LOCK_CLASS, Layout, columns};
use sqlx::{AssertSqlSafe, PgConnection};
use tracing::warn;

use super::database::Database;
use crate::store::StoreError;
use crate::stores::sql::{lacking, refuse_foreign};

/// Everybody on the table queues behind a statement that waits for its lock, so it waits for a moment only, and comes
/// again after a pause that lets the queue drain.
const LOCK_TIMEOUT: &str = "250ms";
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How long a start goes on trying.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a process looks whether another has done its work.
const PEER_POLL: Duration = Duration::from_millis(50);

/// Second half of the advisory locks' keys: who upgrades, and who builds an index. See [`is_peers`] for what they
/// count.
const UPGRADING: i32 = 1;
const INDEXING: i32 = 2;

/// What the catalogue says of the table that unqualified statements would find.
struct Found {
    columns: Vec<String>,
    indexed: bool,
    partitioned: bool,
    /// An index has the name of ours and is of no use, as an interrupted build leaves it.
    unfinished: Option<String>,
    owned: bool,
}

impl Found {
    /// Whether programs can work. A plain table's index is not part of that: it is built beside them.
    fn is_ready(&self) -> bool {
        lacking(&self.columns).next().is_none() && (self.indexed || !self.partitioned)
    }
}

pub(super) async fn migrate(database: &Database) -> Result<(), StoreError> {
    database.table.check(Dialect::Postgres).map_err(|error| StoreError::Schema(error.to_string()))?;
    // Most starts find the table ready. They only read the catalogue: DDL, also DDL that changes nothing, would queue
    // behind every long transaction on the table, and everybody else behind it.
    let found = look_from(database).await?;
    if !found.as_ref().is_some_and(Found::is_ready) {
        upgrade_patiently(database).await?;
    }
    // Nothing but sweeping is slow without it, and only the owner can build it.
    if found.is_some_and(|found| !found.indexed && !found.partitioned && found.owned)
        && let Err(error) = build_index(database).await
    {
        warn!(%error, "the index that finds expired idempotency records is missing; trying again at the next start");
    }
    Ok(())
}

async fn upgrade_patiently(database: &Database) -> Result<(), StoreError> {
    let deadline = Instant::now() + UPGRADE_TIMEOUT;
    loop {
        let error = match upgrade(database, deadline).await {
            Ok(true) => return Ok(()),
            Ok(false) => StoreError::Unavailable("another process is upgrading the idempotency table".to_owned()),
            Err(error) => error,
        };
        // Somebody else (another start, a migration tool, an older program) may have done the same at the same moment.
        if look_from(database).await?.is_some_and(|found| found.is_ready()) {
            return Ok(());
        }
        if !matches!(error, StoreError::Unavailable(_)) || Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(PEER_POLL).await;
    }
}

/// One transaction. Does nothing and says so where another process is at it.
async fn upgrade(database: &Database, deadline: Instant) -> Result<bool, StoreError> {
    let mut transaction = database.pool.begin().await.map_err(database.error())?;
    let lock = format!("pg_try_advisory_xact_lock({LOCK_CLASS}, {UPGRADING})");
    if !locked(&mut transaction, database, &lock).await? && is_peers(&mut transaction, database, UPGRADING).await? {
        return Ok(false);
    }
    let timeout = format!(
        "SELECT set_config('lock_timeout', '{LOCK_TIMEOUT}', true) WHERE current_setting('lock_timeout') = '0'"
    );
    run(&mut transaction, database, timeout).await?;
    run(&mut transaction, database, "SAVEPOINT untouched".to_owned()).await?;
    while let Err(error) = take_steps(&mut transaction, database).await {
        if !matches!(error, StoreError::Unavailable(_)) || Instant::now() >= deadline {
            return Err(error);
        }
        // The pause is taken with the advisory lock in hand: another process would only bring the queue back.
        run(&mut transaction, database, "ROLLBACK TO SAVEPOINT untouched".to_owned()).await?;
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    transaction.commit().await.map_err(database.error())?;
    Ok(true)
}

async fn take_steps(connection: &mut PgConnection, database: &Database) -> Result<(), StoreError> {
    let layout = Layout::new((*database.table).clone());
    // Not the whole text where there is a table: its CREATE would look into the first schema of the search path only,
    // and shadow a table that was found in another.
    let Some(found) = look(connection, database).await? else {
        return run(connection, database, ddl(layout.ddl(Dialect::Postgres, IDEMPOTENCY.latest()))?).await;
    };
    // How many partitions there are matters to creation only.
    let layout = if found.partitioned { layout.partitions(1) } else { layout };
    refuse_foreign(&database.table, &found.columns)?;
    if found.partitioned && !found.indexed {
        // Such a table's index cannot be built beside traffic.
        run(connection, database, layout.create_index(Dialect::Postgres)).await?;
    }
    for version in 2..=IDEMPOTENCY.latest() {
        if lacking(&found.columns).any(|column| column.since == version) {
            let statements = ddl(layout.migration(Dialect::Postgres, version))?;
            run(connection, database, statements.join("\n")).await?;
        }
    }
    Ok(())
}

/// Builds the index of a table that is in use, while others write.
async fn build_index(database: &Database) -> Result<(), StoreError> {
    let mut connection = database.pool.acquire().await.map_err(database.error())?;
    // The session holds a lock and settings of its own, and must not go back to the pool with them.
    connection.close_on_drop();
    // Where another process builds it, this one need not wait to start.
    let lock = format!("pg_try_advisory_lock({LOCK_CLASS}, {INDEXING})");
    if !locked(&mut connection, database, &lock).await? && is_peers(&mut connection, database, INDEXING).await? {
        return Ok(());
    }
    // It waits for every transaction that began before it, and some never end.
    run(&mut connection, database, "SET lock_timeout = '30s'".to_owned()).await?;
    let Some(found) = look(&mut connection, database).await?.filter(|found| !found.indexed) else { return Ok(()) };
    if let Some(unfinished) = found.unfinished {
        run(&mut connection, database, format!("DROP INDEX CONCURRENTLY IF EXISTS {unfinished}")).await?;
    }
    run(&mut connection, database, Layout::new((*database.table).clone()).create_index_concurrently()).await
}

async fn look_from(database: &Database) -> Result<Option<Found>, StoreError> {
    let mut connection = database.pool.acquire().await.map_err(database.error())?;
    look(&mut connection, database).await
}

async fn look(connection: &mut PgConnection, database: &Database) -> Result<Option<Found>, StoreError> {
    // `to_regclass` follows the search path as the statements do, takes no lock and finds NULL where there is nothing.
    let looked = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT (SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = to_regclass($1)),
            ARRAY(
                SELECT attname::text FROM pg_catalog.pg_attribute
                WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
            ),
            EXISTS (
                SELECT 1 FROM pg_catalog.pg_index AS i
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND a.attname = '{expires_at}'
            ),
            (
                SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
                FROM pg_catalog.pg_index AS i
                JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
                JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                WHERE i.indrelid = to_regclass($1) AND NOT i.indisvalid AND c.relname = $2
            ),
            (SELECT pg_has_role(relowner, 'USAGE') FROM pg_catalog.pg_class WHERE oid = to_regclass($1))",
        expires_at = columns::EXPIRES_AT,
    )))
    .bind(database.table.sql())
    .bind(Layout::new((*database.table).clone()).index_name())
    .persistent(false)
    .fetch_one(connection)
    .await
    .map_err(database.error())?;
    let (partitioned, columns, indexed, unfinished, owned): (Option<bool>, _, _, _, Option<bool>) = looked;
    Ok(partitioned.zip(owned).map(|(partitioned, owned)| Found { columns, indexed, partitioned, unfinished, owned }))
}

async fn locked(connection: &mut PgConnection, database: &Database, lock: &str) -> Result<bool, StoreError> {
    let locked = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {lock}"))).persistent(false);
    locked.fetch_one(connection).await.map_err(database.error())
}

/// Whether a lock is held by a session that may do to the table what it stands for.
///
/// Any role can take an advisory lock; from one without that right it must keep nobody. Where it is ignored, two
/// processes may be at it at once, which is safe: one of them is refused, and looks at what the other has done.
async fn is_peers(connection: &mut PgConnection, database: &Database, lock: i32) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT EXISTS (
            SELECT FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
            WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = $1::oid AND l.objid = $2::oid
              AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
              AND l.granted AND l.pid <> pg_backend_pid()
              AND pg_has_role(a.usesysid, COALESCE(
                  (SELECT relowner FROM pg_catalog.pg_class WHERE oid = to_regclass($3)),
                  (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
              ), 'MEMBER')
        )",
    )
    .bind(LOCK_CLASS)
    .bind(lock)
    .bind(database.table.sql())
    .persistent(false)
    .fetch_one(connection)
    .await
    .map_err(database.error())
}

async fn run(connection: &mut PgConnection, database: &Database, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop).map_err(database.error())
}

fn ddl<T>(rendered: Result<T, cratestack_schema::UnknownVersion>) -> Result<T, StoreError> {
    rendered.map_err(|error| StoreError::Internal(error.to_string()))
}
