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
        // Enough for the pools of all contenders of a figure.
        .set("max_connections", "200")
        .set("shared_buffers", "1GB")
        // A checkpoint in the middle of a run would be charged to whoever runs; there is one before each.
        .set("max_wal_size", "16GB")
        // New segments are filled with zeros before their first use, old ones are not.
        .set("min_wal_size", "2GB")
        .set("checkpoint_timeout", "60min")
}

/// The server that [`usage`] is about, and the connections that ask it about itself.
static OBSERVED: Mutex<Option<Observed>> = Mutex::const_new(None);

#[derive(Clone)]
enum Observed {
    Postgres(PgPool),
    Redis(RedisNodes),
}

/// What a server has done so far, as far as it or the system tells.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu: Option<Duration>,
    /// Those of scripts among them.
    pub commands: Option<u64>,
    /// Over its sockets, in and out.
    pub bytes: Option<u64>,
}

/// Starts a server, which [`usage`] is then about.
///
/// # Errors
///
/// When it does not answer.
pub async fn start(options: PostgresOptions) -> Fallible<PostgresServer> {
    let server = options.start().await;
    observe_postgres(&server.url()).await?;
    Ok(server)
}

/// From here on [`usage`] is about the server at `url`.
///
/// # Errors
///
/// When it does not answer.
pub async fn observe_postgres(url: &str) -> Fallible {
    let admin = PgPoolOptions::new().max_connections(1).connect(url).await?;
    *OBSERVED.lock().await = Some(Observed::Postgres(admin));
    Ok(())
}

/// From here on [`usage`] is about these.
pub async fn observe(nodes: RedisNodes) {
    *OBSERVED.lock().await = Some(Observed::Redis(nodes));
}

/// What the observed server has done so far.
pub async fn usage() -> Usage {
    match OBSERVED.lock().await.clone() {
        Some(Observed::Postgres(admin)) => Usage { cpu: cpu(&admin).await, ..Usage::default() },
        Some(Observed::Redis(nodes)) => nodes.usage().await.unwrap_or_default(),
        None => Usage::default(),
    }
}

/// What the server's processes, those that are there now, have used so far; `None` where the system does not tell.
/// Unlike latencies, it hardly depends on what else the machine does.
async fn cpu(admin: &PgPool) -> Option<Duration> {
    let processes: Vec<i32> = sqlx::query_scalar("SELECT pid FROM pg_stat_activity").fetch_all(admin).await.ok()?;
    let nanos = processes.into_iter().map(|process| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanos.sum::<Option<u64>>().map(Duration::from_nanos)
}

/// Connections to the nodes of Redis that hold the keys, one to each.
#[derive(Clone)]
pub struct RedisNodes(pub Vec<redis::aio::MultiplexedConnection>);

/// How much memory nodes use, and for how many keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    bytes: f64,
    keys: f64,
}

impl Memory {
    pub fn per_key_since(self, before: Self) -> Option<f64> {
        let keys = self.keys - before.keys;
        (keys > 0.0).then(|| (self.bytes - before.bytes) / keys)
    }
}

impl RedisNodes {
    pub async fn empty(&self) -> Fallible {
        for node in &self.0 {
            redis::cmd("FLUSHALL").arg("SYNC").exec_async(&mut node.clone()).await?;
        }
        Ok(())
    }

    pub async fn memory(&self) -> Fallible<Memory> {
        let mut memory = Memory::default();
        for node in &self.0 {
            memory.bytes += field(&info(node).await?, "used_memory").ok_or("INFO without used_memory")?;
            memory.keys += redis::cmd("DBSIZE").query_async::<f64>(&mut node.clone()).await?;
        }
        Ok(memory)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    async fn usage(&self) -> Fallible<Usage> {
        let (mut cpu, mut commands, mut bytes) = (0.0, 0.0, 0.0);
        for node in &self.0 {
            let info = info(node).await?;
            let sum = |names: [&str; 2]| names.iter().filter_map(|name| field(&info, name)).sum::<f64>();
            cpu += sum(["used_cpu_user", "used_cpu_sys"]);
            bytes += sum(["total_net_input_bytes", "total_net_output_bytes"]);
            // Its own figure for all commands leaves out those of scripts on some versions.
            let of_kind = info.lines().filter(|line| line.starts_with("cmdstat_"));
            commands += of_kind
                .filter_map(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<f64>().ok())
                .sum::<f64>();
        }
        let cpu = Some(Duration::from_secs_f64(cpu));
        Ok(Usage { cpu, commands: Some(commands as u64), bytes: Some(bytes as u64) })
    }
}

async fn info(node: &redis::aio::MultiplexedConnection) -> Fallible<String> {
    Ok(redis::cmd("INFO").arg("all").query_async(&mut node.clone()).await?)
}

fn field(info: &str, name: &str) -> Option<f64> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim_end().parse().ok())
}

/// What the handlers of `transaction` write to.
const BUSINESS: &str = "CREATE TABLE payments (id BIGSERIAL PRIMARY KEY, amount BIGINT NOT NULL, note TEXT NOT NULL)";

/// A database of ours on `server`, with our table.
#[derive(Debug, Clone)]
pub struct Ours {
    pub pool: PgPool,
    /// Gone with the last of those that use it. `None` where it was there before.
    database: Option<Arc<TestDatabase>>,
    /// Where it is found, over the network if there is one.
    url: Arc<str>,
}

impl Ours {
    pub async fn create(server: &PostgresServer, network: &Network, connections: u32) -> Fallible<Self> {
        Self::create_beside(&server.url(), network, connections).await
    }

    /// On the server at `url`.
    pub async fn create_beside(url: &str, network: &Network, connections: u32) -> Fallible<Self> {
        let database = Arc::new(TestDatabase::create_at(url).await);
        let url = network.url(database.url()).into();
        Self::new(database, url, connections).await
    }

    async fn new(database: Arc<TestDatabase>, url: Arc<str>, connections: u32) -> Fallible<Self> {
        let ours = Self::on(Some(database), url, connections).await?;
        ours.store().migrate().await?;
        ours.execute(BUSINESS).await?;
        Ok(ours)
    }

    /// A database that is there, and stays.
    pub async fn at(url: &str, connections: u32) -> Fallible<Self> {
        let ours = Self::on(None, url.into(), connections).await?;
        ours.store().migrate().await?;
        Ok(ours)
    }

    /// Another database of the same kind on the same server.
    pub async fn another(&self) -> Fallible<Self> {
        // Its address is in that of this one, and with it the network between.
        let database = Arc::new(TestDatabase::create_at(&self.url).await);
        let url = database.url().into();
        Self::new(database, url, self.pool.options().get_max_connections()).await
    }

    /// With connections of its own.
    pub async fn again(&self, connections: u32) -> Fallible<Self> {
        Self::on(self.database.clone(), Arc::clone(&self.url), connections).await
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    async fn on(database: Option<Arc<TestDatabase>>, url: Arc<str>, connections: u32) -> Fallible<Self> {
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
    database: Option<Arc<TestDatabase>>,
    url: Arc<str>,
}

impl Theirs {
    pub async fn create(server: &PostgresServer, network: &Network, connections: u32) -> Fallible<Self> {
        let database = Arc::new(TestDatabase::create_on(server).await);
        let url = network.url(database.url()).into();
        let theirs = Self::on(Some(database), url, connections).await?;
        theirs.store().ensure_schema().await?;
        theirs.execute(BUSINESS).await?;
        Ok(theirs)
    }

    /// As [`Ours::at`].
    pub async fn at(url: &str, connections: u32) -> Fallible<Self> {
        Self::on(None, url.into(), connections).await
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    async fn on(database: Option<Arc<TestDatabase>>, url: Arc<str>, connections: u32) -> Fallible<Self> {
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
        Ours::on(self.database.clone(), Arc::clone(&self.url), 1).await
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
