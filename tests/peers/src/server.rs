//! The server that all contenders share, and how each connects to it.

use cratestack_runtime::PostgresStore;
use cratestack_sqlx::SqlxIdempotencyStore;
use cratestack_sqlx::sqlx as sqlx_08;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::Fallible;
use crate::postgres::{PostgresOptions, PostgresServer, TestDatabase};

/// A server whose commits reach the disk, with the settings that a small production server would have.
pub async fn start() -> PostgresServer {
    PostgresOptions::new()
        .durable()
        .set("shared_buffers", "1GB")
        // A checkpoint in the middle of a run would be charged to whoever runs; there is one before each.
        .set("max_wal_size", "16GB")
        // New segments are filled with zeros before their first use, old ones are not.
        .set("min_wal_size", "2GB")
        .set("checkpoint_timeout", "60min")
        .start()
        .await
}

/// A database of ours on `server`, with our table.
#[derive(Debug)]
pub struct Ours {
    pub database: TestDatabase,
    pub pool: PgPool,
}

impl Ours {
    pub async fn create(server: &PostgresServer, connections: u32) -> Fallible<Self> {
        let database = TestDatabase::create_on(server).await;
        let pool = PgPoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            .test_before_acquire(false)
            .connect(database.url())
            .await?;
        PostgresStore::new(pool.clone()).migrate().await?;
        Ok(Self { database, pool })
    }

    pub fn store(&self) -> PostgresStore {
        PostgresStore::new(self.pool.clone())
    }

    /// Empty, and nothing of what was before left to be written.
    pub async fn empty(&self) -> Fallible {
        self.execute("TRUNCATE cratestack_idempotency").await?;
        self.execute("CHECKPOINT").await
    }

    pub async fn execute(&self, sql: &str) -> Fallible {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&self.pool).await?;
        Ok(())
    }
}

/// A database of the peer's on the same server, with its table.
#[derive(Debug)]
pub struct Theirs {
    pub database: TestDatabase,
    pub pool: sqlx_08::PgPool,
}

impl Theirs {
    pub async fn create(server: &PostgresServer, connections: u32) -> Fallible<Self> {
        let database = TestDatabase::create_on(server).await;
        let pool = sqlx_08::pool::PoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            .test_before_acquire(false)
            .connect(database.url())
            .await?;
        SqlxIdempotencyStore::new(pool.clone()).ensure_schema().await.map_err(|error| error.to_string())?;
        Ok(Self { database, pool })
    }

    pub fn store(&self) -> SqlxIdempotencyStore {
        SqlxIdempotencyStore::new(self.pool.clone())
    }

    /// As [`Ours::empty`].
    pub async fn empty(&self) -> Fallible {
        self.execute("TRUNCATE cratestack_idempotency").await?;
        self.execute("CHECKPOINT").await
    }

    pub async fn execute(&self, sql: &str) -> Fallible {
        sqlx_08::raw_sql(sql).execute(&self.pool).await?;
        Ok(())
    }
}
