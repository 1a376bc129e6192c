//! The bank's tables, as the harness sets them up and reads them.

use std::time::Duration;

use bytes::Bytes;
use cratestack_runtime::{PostgresStore, SqliteStore, decode_headers};
use http::{HeaderMap, StatusCode, header};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool, postgres::PgPoolOptions, sqlite::SqliteConnectOptions};

use crate::Answer;

/// How many accounts there are, from 0 on.
pub const ACCOUNTS: i64 = 4;
/// A pool asks a server that is away at longer and longer intervals.
const PATIENCE: Duration = Duration::from_millis(500);
/// What each account begins with.
pub const BALANCE: i64 = 1_000;

/// A connection of its own to the bank's database.
#[derive(Debug)]
pub enum Books {
    /// On Postgres.
    Postgres(PgPool),
    /// On SQLite.
    Sqlite(SqlitePool),
}

/// A server that has just been killed may answer once more before it goes, and a file whose writer has just been killed
/// is locked while one of the others restores it.
macro_rules! until_it_answers {
    ($statement:expr) => {{
        let mut tries = 0;
        loop {
            match $statement.await {
                Ok(read) => break read,
                Err(error) if tries == 100 => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
            tries += 1;
        }
    }};
}

/// The same reading on either database, as what it gives differs in type only.
macro_rules! on_either {
    ($books:expr, $pool:ident => $statement:expr) => {
        match $books {
            Books::Postgres($pool) => until_it_answers!($statement),
            Books::Sqlite($pool) => until_it_answers!($statement),
        }
    };
}

type Row = (Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>);

/// What is recorded of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Recorded {
    /// What is to be recorded where a client was told this: all but what the connection adds, and the sign of a replay.
    pub fn told(answer: &Answer) -> Self {
        let added = [header::DATE, header::CONTENT_LENGTH, header::CONNECTION, header::TRANSFER_ENCODING];
        let kept = |name: &str| name != "idempotency-replayed" && added.iter().all(|added| added != name);
        let headers: HeaderMap = answer
            .headers
            .iter()
            .filter(|(name, _)| kept(name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Self { status: answer.status, headers, body: answer.body.clone() }
    }
}

impl Books {
    /// Makes the tables.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn on_postgres(url: &str) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(PATIENCE)
            .connect(url)
            .await
            .expect("the database answers");
        PostgresStore::new(pool.clone()).migrate().await.expect("the database answers");
        Self::Postgres(pool).set_up("BIGSERIAL PRIMARY KEY").await
    }

    /// Makes the tables.
    ///
    /// # Panics
    /// When the file cannot be opened.
    pub async fn on_sqlite(url: &str) -> Self {
        let pool = SqlitePool::connect_with(url.parse::<SqliteConnectOptions>().expect("a URL of SQLite"))
            .await
            .expect("the database answers");
        SqliteStore::new(pool.clone()).migrate().await.expect("the database answers");
        Self::Sqlite(pool).set_up("INTEGER PRIMARY KEY AUTOINCREMENT").await
    }

    /// No constraint that would keep a second row out: the bank has to.
    async fn set_up(self, id: &str) -> Self {
        let accounts: Vec<_> = (0..ACCOUNTS).map(|account| format!("({account}, {BALANCE})")).collect();
        let tables = format!(
            "CREATE TABLE payments (id {id}, key TEXT NOT NULL, amount BIGINT NOT NULL);
            CREATE INDEX payments_by_key ON payments (key);
            CREATE TABLE transfers (id {id}, key TEXT NOT NULL, source BIGINT, target BIGINT, amount BIGINT);
            CREATE INDEX transfers_by_key ON transfers (key);
            CREATE TABLE debits (id {id}, key TEXT NOT NULL, amount BIGINT NOT NULL);
            CREATE INDEX debits_by_key ON debits (key);
            CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL);
            INSERT INTO accounts VALUES {}",
            accounts.join(", ")
        );
        match &self {
            Self::Postgres(pool) => {
                sqlx::raw_sql(AssertSqlSafe(tables)).execute(pool).await.expect("the database answers");
            }
            Self::Sqlite(pool) => {
                sqlx::raw_sql(AssertSqlSafe(tables)).execute(pool).await.expect("the database answers");
            }
        }
        self
    }

    /// The rows of a key, each its number and its amount.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn rows(&self, key: &str, transfers: bool) -> Vec<(i64, i64)> {
        let rows = if transfers {
            "SELECT id, amount FROM transfers WHERE key = $1"
        } else {
            "SELECT id, amount FROM payments WHERE key = $1"
        };
        on_either!(self, pool => sqlx::query_as(rows).bind(key).fetch_all(pool))
    }

    /// The keys that have a row in either table, and how many.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn all_rows(&self) -> Vec<(String, i64)> {
        let all = "SELECT key, COUNT(*) FROM (SELECT key FROM payments UNION ALL SELECT key FROM transfers) AS rows \
                   GROUP BY key";
        on_either!(self, pool => sqlx::query_as(all).fetch_all(pool))
    }

    /// All debits, each its key, its number and its amount.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn debits(&self) -> Vec<(String, i64, i64)> {
        let debits = "SELECT key, id, amount FROM debits";
        on_either!(self, pool => sqlx::query_as(debits).fetch_all(pool))
    }

    /// The accounts whose balance is not what the debits made of it: an account has those whose number leaves its own.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn unexplained_by_debits(&self) -> Vec<(i64, i64)> {
        let wrong = "SELECT id, balance FROM accounts WHERE balance <> $1 - (SELECT
            COALESCE(CAST(SUM(amount) AS BIGINT), 0) FROM debits WHERE debits.id % $2 = accounts.id)";
        on_either!(self, pool => sqlx::query_as(wrong).bind(BALANCE).bind(ACCOUNTS).fetch_all(pool))
    }

    /// The steps that are recorded of runs without an outcome, each its key and its name.
    ///
    /// # Panics
    /// When the database does not answer, or a row's steps cannot be read.
    pub async fn recorded_steps(&self) -> Vec<(String, String)> {
        let steps = "SELECT key, steps FROM cratestack_idempotency
            WHERE response_status IS NULL AND steps IS NOT NULL AND steps_token = reservation_id";
        let rows: Vec<(String, Vec<u8>)> = on_either!(self, pool => sqlx::query_as(steps).fetch_all(pool));
        let names = |(key, steps): (String, Vec<u8>)| {
            names_of_steps(&steps).into_iter().map(move |name| (key.clone(), name)).collect::<Vec<_>>()
        };
        rows.into_iter().flat_map(names).collect()
    }

    /// The accounts whose balance is not what the transfers made of it, and the sum of all.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn balances(&self) -> (Vec<(i64, i64)>, i64) {
        let wrong = "SELECT id, balance FROM accounts WHERE balance < 0 OR balance <> $1
            + (SELECT COALESCE(CAST(SUM(amount) AS BIGINT), 0) FROM transfers WHERE target = accounts.id)
            - (SELECT COALESCE(CAST(SUM(amount) AS BIGINT), 0) FROM transfers WHERE source = accounts.id)";
        let sum = "SELECT CAST(SUM(balance) AS BIGINT) FROM accounts";
        let wrong = on_either!(self, pool => sqlx::query_as(wrong).bind(BALANCE).fetch_all(pool));
        (wrong, on_either!(self, pool => sqlx::query_scalar(sum).fetch_one(pool)))
    }

    /// The records of a key; there is to be one.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn records(&self, key: &str) -> Vec<Option<Recorded>> {
        let records = "SELECT CAST(response_status AS BIGINT), response_headers, response_body
            FROM cratestack_idempotency WHERE key = $1";
        let rows: Vec<Row> = on_either!(self, pool => sqlx::query_as(records).bind(key).fetch_all(pool));
        let read = |(status, headers, body): Row| {
            let status = StatusCode::from_u16(u16::try_from(status?).ok()?).ok()?;
            let headers = decode_headers(&headers.unwrap_or_default());
            Some(Recorded { status, headers, body: body.unwrap_or_default().into() })
        };
        rows.into_iter().map(read).collect()
    }

    /// The keys that have a reservation and no outcome, of those that begin like this.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn unwritten(&self, prefix: &str) -> Vec<String> {
        let unwritten = "SELECT key FROM cratestack_idempotency WHERE response_status IS NULL AND key LIKE $1 || '%'";
        on_either!(self, pool => sqlx::query_scalar(unwritten).bind(prefix).fetch_all(pool))
    }

    /// Whether the server answers.
    pub async fn answers(&self) -> bool {
        let Self::Postgres(pool) = self else { return true };
        sqlx::query("SELECT 1").execute(pool).await.is_ok()
    }

    /// Ends every session of the bank, whatever it does.
    pub async fn end_sessions(&self) {
        let Self::Postgres(pool) = self else { return };
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bank'";
        // In a server that has trouble of its own, they end with it.
        let _ = sqlx::query(end).execute(pool).await;
    }

    /// The sessions of the bank, those that do something first.
    pub async fn sessions(&self) -> Vec<i32> {
        let Self::Postgres(pool) = self else { return Vec::new() };
        let sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'bank' AND state <> 'idle' \
                        ORDER BY backend_start";
        sqlx::query_scalar(sessions).fetch_all(pool).await.unwrap_or_default()
    }
}

/// As docs/schema.md has it: the length of a step's name, its name, and the same of its value, one step after another.
fn names_of_steps(mut entries: &[u8]) -> Vec<String> {
    let mut part = || {
        let (length, rest) = entries.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).expect("a step has less than that");
        let (part, rest) = rest.split_at(length);
        entries = rest;
        Some(String::from_utf8_lossy(part).into_owned())
    };
    let mut names = Vec::new();
    while let Some(name) = part() {
        part().expect("a step has a value");
        names.push(name);
    }
    names
}
