//! The server that all contenders share, and how each connects to it.

use std::sync::Arc;
use std::time::Duration;

use cratestack_runtime::PostgresStore;
use cratestack_sqlx::SqlxIdempotencyStore;
use cratestack_sqlx::sqlx as sqlx_08;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

use tokio::sync::Mutex;

use crate::Fallible;
use crate::network::Network;
use crate::postgres::{PostgresOptions, PostgresServer, TestDatabase};

/// A server whose commits reach the disk, with the settings that a small production server would have.
pub fn options() -> PostgresOptions {
    PostgresOptions::new()
        .durable()
        .set("shared_buffers", "1GB")
        // A checkpoint in the middle of a run would be charged to whoever runs; there is one before each.
        .set("max_wal_size", "16GB")
        // New segments are filled with zeros before their first use, old ones are not.
        .set("min_wal_size", "2GB")
        .set("checkpoint_timeout", "60min")
}

/// The connection that asks the server about itself.
static ADMIN: Mutex<Option<PgPool>> = Mutex::const_new(None);

/// Starts a server, which [`cpu`] is then about.
///
/// # Errors
///
/// When it does not answer.
pub async fn start(options: PostgresOptions) -> Fallible<PostgresServer> {
    let server = options.start().await;
    *ADMIN.lock().await = Some(PgPoolOptions::new().max_connections(1).connect(&server.url()).await?);
    Ok(server)
}

/// What the server's processes, those that are there now, have used so far; `None` where the system does not tell.
/// Unlike latencies, it hardly depends on what else the machine does.
pub async fn cpu() -> Option<Duration> {
    let admin = ADMIN.lock().await.clone()?;
    let processes: Vec<i32> = sqlx::query_scalar("SELECT pid FROM pg_stat_activity").fetch_all(&admin).await.ok()?;
    let nanos = processes.into_iter().map(|process| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanos.sum::<Option<u64>>().map(Duration::from_nanos)
}

/// What the handlers of `transaction` write to.
const BUSINESS: &str = "CREATE TABLE payments (id BIGSERIAL PRIMARY KEY, amount BIGINT NOT NULL, note TEXT NOT NULL)";

/// A database of ours on `server`, with our table.
#[derive(Debug, Clone)]
pub struct Ours {
    pub pool: PgPool,
    /// Gone with the last of those that use it.
    database: Arc<TestDatabase>,
    /// Where it is found, over the network if there is one.
    url: Arc<str>,
}

impl Ours {
    pub async fn create(server: &PostgresServer, network: &Network, connections: u32) -> Fallible<Self> {
        let database = Arc::new(TestDatabase::create_on(server).await);
        let url = network.url(database.url()).into();
        let ours = Self::on(database, url, connections).await?;
        ours.store().migrate().await?;
        ours.execute(BUSINESS).await?;
        Ok(ours)
    }

    /// As another process would be: with connections of its own.
    pub async fn again(&self, connections: u32) -> Fallible<Self> {
        Self::on(Arc::clone(&self.database), Arc::clone(&self.url), connections).await
    }

    async fn on(database: Arc<TestDatabase>, url: Arc<str>, connections: u32) -> Fallible<Self> {
        let pool = PgPoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            .test_before_acquire(false)
            .connect(&url)
            .await?;
        Ok(Self { pool, database, url })
    }

    pub fn store(&self) -> PostgresStore {
        PostgresStore::new(self.pool.clone())
    }

    /// Empty, and nothing of what was before left to be written.
    pub async fn empty(&self) -> Fallible {
        self.execute("TRUNCATE cratestack_idempotency, payments").await?;
        self.execute("CHECKPOINT").await
    }

    pub async fn execute(&self, sql: &str) -> Fallible {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await?;
        Ok(())
    }
}

/// A database of the peer's on the same server, with its table.
#[derive(Debug, Clone)]
pub struct Theirs {
    pub pool: sqlx_08::PgPool,
    database: Arc<TestDatabase>,
    url: Arc<str>,
}

impl Theirs {
    pub async fn create(server: &PostgresServer, network: &Network, connections: u32) -> Fallible<Self> {
        let database = Arc::new(TestDatabase::create_on(server).await);
        let url = network.url(database.url()).into();
        let theirs = Self::on(database, url, connections).await?;
        theirs.store().ensure_schema().await?;
        theirs.execute(BUSINESS).await?;
        Ok(theirs)
    }

    pub async fn again(&self, connections: u32) -> Fallible<Self> {
        Self::on(Arc::clone(&self.database), Arc::clone(&self.url), connections).await
    }

    async fn on(database: Arc<TestDatabase>, url: Arc<str>, connections: u32) -> Fallible<Self> {
        let pool = sqlx_08::pool::PoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            .test_before_acquire(false)
            .connect(&url)
            .await?;
        Ok(Self { pool, database, url })
    }

    /// One connection of our kind to their database, to ask the server about it.
    pub async fn seen_by_us(&self) -> Fallible<Ours> {
        Ours::on(Arc::clone(&self.database), Arc::clone(&self.url), 1).await
    }

    pub fn store(&self) -> SqlxIdempotencyStore {
        SqlxIdempotencyStore::new(self.pool.clone())
    }

    /// As [`Ours::empty`].
    pub async fn empty(&self) -> Fallible {
        self.execute("TRUNCATE cratestack_idempotency, payments").await?;
        self.execute("CHECKPOINT").await
    }

    pub async fn execute(&self, sql: &str) -> Fallible {
        sqlx_08::raw_sql(sql).execute(&self.pool).await?;
        Ok(())
    }
}
