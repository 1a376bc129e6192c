//! The payments that were made, in Postgres or in a file.

use std::time::Duration;

use serde::Serialize;
use sqlx::{
    Connection as _, PgConnection, PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

/// How long a request waits for a connection before it is answered with 503.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);
/// The same where it waits behind all who write before it, each of whom waits for the disk.
const WRITER_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Serialize)]
pub(crate) struct Payment {
    pub(crate) id: String,
    amount: i64,
    currency: String,
}

impl From<(String, i64, String)> for Payment {
    fn from((id, amount, currency): (String, i64, String)) -> Self {
        Self { id, amount, currency }
    }
}

#[derive(Clone)]
pub(crate) enum Ledger {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

const INSERT: &str = "INSERT INTO payments (id, amount, currency) VALUES ($1, $2, $3)";
const ALL: &str = "SELECT id, amount, currency FROM payments ORDER BY entry";
const GET: &str = "SELECT id, amount, currency FROM payments WHERE id = $1";
const CHARGE: &str = "INSERT INTO charges (id, amount, currency) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
const CHARGES: &str = "SELECT id, amount, currency FROM charges ORDER BY entry";

impl Ledger {
    pub(crate) async fn insert(&self, amount: i64, currency: &str) -> sqlx::Result<Payment> {
        let id = uuid::Uuid::new_v4().to_string();
        self.write(INSERT, id, amount, currency).await
    }

    /// One entry per effect, in order.
    pub(crate) async fn all(&self) -> sqlx::Result<Vec<Payment>> {
        self.list(ALL).await
    }

    /// Stands in for a payment provider: it makes one charge per key, however often it is asked.
    pub(crate) async fn charge_at_provider(
        &self,
        key: uuid::Uuid,
        amount: i64,
        currency: &str,
    ) -> sqlx::Result<Payment> {
        self.write(CHARGE, key.to_string(), amount, currency).await
    }

    pub(crate) async fn charges(&self) -> sqlx::Result<Vec<Payment>> {
        self.list(CHARGES).await
    }

    async fn write(&self, insert: &'static str, id: String, amount: i64, currency: &str) -> sqlx::Result<Payment> {
        match self {
            Self::Postgres(pool) => {
                sqlx::query(insert).bind(&id).bind(amount).bind(currency).execute(pool).await?;
            }
            Self::Sqlite(pool) => {
                sqlx::query(insert).bind(&id).bind(amount).bind(currency).execute(pool).await?;
            }
        }
        Ok(Payment { id, amount, currency: currency.to_owned() })
    }

    async fn list(&self, query: &'static str) -> sqlx::Result<Vec<Payment>> {
        let rows: Vec<(String, i64, String)> = match self {
            Self::Postgres(pool) => sqlx::query_as(query).fetch_all(pool).await?,
            Self::Sqlite(pool) => sqlx::query_as(query).fetch_all(pool).await?,
        };
        Ok(rows.into_iter().map(Payment::from).collect())
    }

    pub(crate) async fn get(&self, id: &str) -> sqlx::Result<Option<Payment>> {
        let row: Option<(String, i64, String)> = match self {
            Self::Postgres(pool) => sqlx::query_as(GET).bind(id).fetch_optional(pool).await?,
            Self::Sqlite(pool) => sqlx::query_as(GET).bind(id).fetch_optional(pool).await?,
        };
        Ok(row.map(Payment::from))
    }
}

pub(crate) async fn open_postgres(options: &PgConnectOptions) -> Result<PgPool, String> {
    let unusable = |cause: &dyn std::fmt::Display| {
        let (host, port) = (options.get_host(), options.get_port());
        let database = options.get_database().unwrap_or(options.get_username());
        format!("cannot use the database `{database}` at {host}:{port}: {cause}. Its address comes from DATABASE_URL.")
    };
    // The pool would try again for as long as it may and then tell nothing but that.
    let mut connection = match tokio::time::timeout(CONNECTION_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(|error| unusable(&error))?,
        Err(_) => return Err(unusable(&"it does not answer")),
    };
    // Two services that start at once would both find no table, and one of them fail: hence the lock.
    let create = "BEGIN;
        SELECT pg_advisory_xact_lock(hashtext('payments'));
        CREATE TABLE IF NOT EXISTS payments (
            entry BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            amount BIGINT NOT NULL,
            currency TEXT NOT NULL
        );
        CREATE TABLE IF NOT EXISTS charges (
            entry BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            amount BIGINT NOT NULL,
            currency TEXT NOT NULL
        );
        COMMIT";
    sqlx::raw_sql(create).execute(&mut connection).await.map_err(|error| unusable(&error))?;
    connection.close().await.map_err(|error| unusable(&error))?;
    Ok(PgPoolOptions::new().max_connections(10).acquire_timeout(CONNECTION_TIMEOUT).connect_lazy_with(options.clone()))
}

pub(crate) async fn open_sqlite(options: &SqliteConnectOptions) -> Result<SqlitePool, String> {
    let unusable = |error: sqlx::Error| {
        let file = options.get_filename().display();
        format!("cannot use the SQLite file {file}: {error}. Its name comes from DATABASE_URL.")
    };
    let create = "CREATE TABLE IF NOT EXISTS payments (
            entry INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            amount INTEGER NOT NULL,
            currency TEXT NOT NULL
        );
        CREATE TABLE IF NOT EXISTS charges (
            entry INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            amount INTEGER NOT NULL,
            currency TEXT NOT NULL
        )";
    // SQLite has one writer at a time. Waiting for one connection is fair; waiting for a lock is not.
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(WRITER_TIMEOUT);
    let pool = pool.connect_with(options.clone()).await.map_err(unusable)?;
    sqlx::raw_sql(create).execute(&pool).await.map_err(unusable)?;
    Ok(pool)
}

/// Connections that only read, and so wait for no writer.
pub(crate) fn read_sqlite(options: &SqliteConnectOptions) -> SqlitePool {
    let pool = SqlitePoolOptions::new().max_connections(2).acquire_timeout(CONNECTION_TIMEOUT);
    pool.connect_lazy_with(options.clone().read_only(true).create_if_missing(false))
}
