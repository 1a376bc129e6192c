//! On a file: what sharing commits is worth to reserve and complete, what a lone call costs beside one bare `INSERT`,
//! and what a whole service does whose handlers write to the same file. Published peers have no store for SQLite.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use cratestack_runtime::{Idempotency, SqliteStore, Tx, async_trait, idempotent};
use sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use super::our_round;
use super::requests::answered_in;
use crate::Fallible;
use crate::figure::{Contender, Figure, Measure};
use crate::load::{Call, Load, drive};
use crate::sample::{Quantity, Sample};
use crate::traffic::{BODY, HASH, HEADERS, PRINCIPAL, new_key};

const CONNECTIONS: u32 = 8;

pub async fn sqlite() -> Fallible<Vec<Figure>> {
    let file = Arc::new(File::create().await?);
    let on_file = |name, work| Box::new(OnFile { name, work, file: Arc::clone(&file) }) as Box<dyn Contender>;
    let store = |on| Work::Rounds(SqliteStore::new(file.pool.clone()).group_commit(on));
    let rounds = |callers| {
        let mut figure = Figure {
            name: format!("sqlite-{callers}"),
            title: format!("reserve + complete on an SQLite file, callers: {callers}"),
            callers,
            rate: None,
            contenders: vec![
                on_file("ours, SQLite", store(true)),
                on_file("ours, SQLite, group commit off", store(false)),
            ],
            measures: vec![
                Measure::ratio(Quantity::Throughput, None),
                Measure::ratio(Quantity::P50, None),
                Measure::ratio(Quantity::P99, None),
            ],
        };
        // Where several callers write on connections of their own and do not queue, some get none of it within seconds.
        if callers == 1 {
            figure.contenders.push(on_file("a bare INSERT", Work::Insert));
            figure.contenders.push(on_file("a bare INSERT and a bare UPDATE", Work::InsertAndUpdate));
            figure.measures.push(Measure::ratio(Quantity::Throughput, None).against(2));
            figure.measures.push(Measure::ratio(Quantity::Throughput, None).against(3));
        }
        figure
    };
    let service = |callers| Figure {
        name: format!("sqlite-service-{callers}"),
        title: format!("one insert per request into the same SQLite file, callers: {callers}"),
        callers,
        rate: None,
        contenders: vec![
            on_file("ours, `transaction`", Work::Requests(in_one_transaction(&file.pool))),
            on_file("ours, the handler writes by itself", Work::Requests(around(&file.pool, &file.pool))),
            on_file("ours, the handler writes by one connection", Work::Requests(around(&file.pool, &file.single))),
            on_file("ours, all by one connection", Work::Requests(around(&file.single, &file.single))),
            on_file("the bare handler", Work::Requests(bare(&file.pool))),
            on_file("the bare handler, one connection", Work::Requests(bare(&file.single))),
        ],
        measures: (0..4)
            .map(|of| Measure::ratio(Quantity::Throughput, None).of(of).against(5))
            .chain((0..4).map(|of| Measure::ratio(Quantity::P99, None).of(of).against(5)))
            .collect(),
    };
    Ok([1, 16, 64].map(rounds).into_iter().chain([1, 16, 64].map(service)).collect())
}

/// A database whose commits reach the disk. It goes with the last of those that use it.
struct File {
    folder: PathBuf,
    pool: SqlitePool,
    /// Another pool, whose users queue for its one connection, instead of looking again and again for the one right to
    /// write.
    single: SqlitePool,
}

impl File {
    async fn create() -> Fallible<Self> {
        let folder = std::env::temp_dir().join(format!("cratestack-peers-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder)?;
        let options = SqliteConnectOptions::new()
            .filename(folder.join("peers.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Else those who look again and again for the right to write give up, where sixty-four do.
            .busy_timeout(Duration::from_secs(60));
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options.clone()).await?;
        let single = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        SqliteStore::new(pool.clone()).migrate().await?;
        let business =
            "CREATE TABLE payments (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, note TEXT NOT NULL) STRICT";
        sqlx::raw_sql(business).execute(&pool).await?;
        Ok(Self { folder, pool, single })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What is left is the system's to clean up.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[derive(Clone)]
enum Work {
    /// Reserve and complete.
    Rounds(SqliteStore),
    /// The finished row at once, by one statement.
    Insert,
    /// What any reservation and its outcome come to at least.
    InsertAndUpdate,
    Requests(Router),
}

const INSERT_ROW: &str = "INSERT INTO cratestack_idempotency (principal_fingerprint, key, request_hash, \
     reservation_id, response_status, response_headers, response_body, created_at, expires_at) \
     VALUES (?1, ?2, ?3, randomblob(16), ?4, ?5, ?6, unixepoch() * 1000, unixepoch() * 1000 + 86400000)";
const UPDATE_ROW: &str = "UPDATE cratestack_idempotency SET response_status = ?3, response_headers = ?4, \
     response_body = ?5 WHERE principal_fingerprint = ?1 AND key = ?2 AND response_status IS NULL";

impl Work {
    async fn once(&self, pool: &SqlitePool, key: &str) -> Fallible {
        let (headers, body) = (HEADERS.as_slice(), &*BODY);
        match self {
            Self::Rounds(store) => our_round(store, key, &BODY).await?,
            Self::Insert => {
                let insert = sqlx::query(INSERT_ROW).bind(PRINCIPAL).bind(key).bind(HASH.as_slice());
                insert.bind(201).bind(headers).bind(body).execute(pool).await?;
            }
            Self::InsertAndUpdate => {
                let insert = sqlx::query(INSERT_ROW).bind(PRINCIPAL).bind(key).bind(HASH.as_slice());
                insert.bind(None::<i64>).bind(None::<&[u8]>).bind(None::<&[u8]>).execute(pool).await?;
                let update = sqlx::query(UPDATE_ROW).bind(PRINCIPAL).bind(key);
                update.bind(201).bind(headers).bind(body).execute(pool).await?;
            }
            Self::Requests(router) => drop(answered_in(router, key).await?),
        }
        Ok(())
    }
}

struct OnFile {
    name: &'static str,
    work: Work,
    file: Arc<File>,
}

#[async_trait]
impl Contender for OnFile {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    async fn prepare(&self) -> Fallible {
        let empty = "DELETE FROM cratestack_idempotency; DELETE FROM payments; PRAGMA wal_checkpoint(TRUNCATE);";
        sqlx::raw_sql(empty).execute(&self.file.pool).await?;
        Ok(())
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let (work, pool) = (self.work.clone(), self.file.pool.clone());
        drive(load, move || {
            let (work, pool) = (work.clone(), pool.clone());
            async move {
                let key = new_key();
                let begun = Instant::now();
                work.once(&pool, &key).await?;
                Ok(Call::Took(begun.elapsed()))
            }
        })
        .await
    }
}

const PAY: &str = "INSERT INTO payments (amount, note) VALUES (?1, ?2)";
const AMOUNT: i64 = 1_200;
const NOTE: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

fn answer(paid: Result<sqlx::sqlite::SqliteQueryResult, sqlx::Error>) -> Response {
    match paid {
        Ok(_) => {
            let headers = [("content-type", "application/json"), ("location", "/payments/8e03978e")];
            (StatusCode::CREATED, headers, BODY.clone()).into_response()
        }
        Err(error) => {
            eprintln!("{error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Clone, FromRef)]
struct OneTransaction {
    idempotency: Idempotency<SqliteStore>,
}

fn in_one_transaction(pool: &SqlitePool) -> Router {
    let idempotency = Idempotency::transactional(SqliteStore::new(pool.clone()));
    Router::new().route("/payments", post(pay_in_transaction)).with_state(OneTransaction { idempotency })
}

#[idempotent(transaction)]
async fn pay_in_transaction(mut tx: Tx<Sqlite>, _body: Bytes) -> Response {
    answer(sqlx::query(PAY).bind(AMOUNT).bind(NOTE).execute(&mut *tx).await)
}

#[derive(Clone, FromRef)]
struct Around {
    idempotency: Idempotency,
    pool: SqlitePool,
}

/// The store and the handler, each with its pool.
fn around(keys: &SqlitePool, payments: &SqlitePool) -> Router {
    let idempotency = Idempotency::new(SqliteStore::new(keys.clone()));
    Router::new().route("/payments", post(pay_once)).with_state(Around { idempotency, pool: payments.clone() })
}

#[idempotent]
async fn pay_once(State(pool): State<SqlitePool>, _body: Bytes) -> Response {
    answer(sqlx::query(PAY).bind(AMOUNT).bind(NOTE).execute(&pool).await)
}

fn bare(pool: &SqlitePool) -> Router {
    Router::new().route("/payments", post(pay)).with_state(pool.clone())
}

async fn pay(State(pool): State<SqlitePool>, _body: Bytes) -> Response {
    answer(sqlx::query(PAY).bind(AMOUNT).bind(NOTE).execute(&pool).await)
}
