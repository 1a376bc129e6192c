//! Processes that are killed while they call functions: what was written is there once, and who calls again has the
//! result of the run that counts.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use cratestack_runtime::{PostgresStore, SqliteStore};
use cratestack_tests::TestDatabase;
use cratestack_tests::fleet::{Rng, seed};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

/// A process with the functions; it is killed when this is dropped.
struct Clerk {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Clerk {
    fn start(url: &str, hold: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clerk"));
        command.env("DATABASE_URL", url).env_remove("HOLD").envs(hold.map(|place| ("HOLD", place)));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, input, output: BufReader::new(output) }
    }

    fn call(&mut self, call: &str) -> String {
        writeln!(self.input, "{call}").unwrap();
        self.answer().unwrap()
    }

    /// What it prints next: nothing once it is gone.
    fn answer(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        // Half a line is none.
        line.strip_suffix('\n').map(str::to_owned)
    }

    /// With SIGKILL; returns once it is gone.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.kill();
    }
}

enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

struct Books {
    pool: Pool,
    url: String,
    _kept: Box<dyn std::any::Any + Send>,
}

/// Without keys, so that a second write is seen and not refused; the provider's charges have one.
const TABLES: &str = "CREATE TABLE bookings (id BIGINT, run TEXT);
    CREATE TABLE debits (id BIGINT, run TEXT);
    CREATE TABLE charges (id BIGINT PRIMARY KEY, run TEXT)";

impl Books {
    async fn postgres() -> Self {
        let database = TestDatabase::create().await;
        let pool = PgPool::connect(database.url()).await.unwrap();
        PostgresStore::new(pool.clone()).migrate().await.unwrap();
        sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
        Self { pool: Pool::Postgres(pool), url: database.url().to_owned(), _kept: Box::new(database) }
    }

    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clerk.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        SqliteStore::new(pool.clone()).migrate().await.unwrap();
        sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
        Self { pool: Pool::Sqlite(pool), url: format!("sqlite:{}", file.display()), _kept: Box::new(folder) }
    }

    /// By whom this was written under an id: each write of it.
    async fn written(&self, table: &str, id: u64) -> Vec<String> {
        let query = AssertSqlSafe(format!("SELECT run FROM {table} WHERE id = {id}"));
        match &self.pool {
            Pool::Postgres(pool) => sqlx::query_scalar(query).fetch_all(pool).await,
            Pool::Sqlite(pool) => sqlx::query_scalar(query).fetch_all(pool).await,
        }
        .unwrap()
    }

    /// Everything that a call has written is there once, by the run whose result is told.
    async fn agree_with(&self, call: &str, result: &str) {
        let (function, id) = call.split_once(' ').unwrap();
        let id = id.parse().unwrap();
        if function == "book" {
            assert_eq!(self.written("bookings", id).await, [result], "{call}");
        } else {
            let (debit, charge) = result.split_once(' ').unwrap_or_else(|| panic!("{call}: {result}"));
            assert_eq!(self.written("debits", id).await, [debit], "{call}");
            assert_eq!(self.written("charges", id).await, [charge], "{call}");
        }
    }
}

/// Each place in the code, and what is written when a process is killed there.
async fn whoever_is_killed_at_a_place_has_written_all_or_nothing(books: Books) {
    let places = [
        ("book 1", "begun", [("bookings", 0)].as_slice()),
        ("book 2", "written", &[("bookings", 0)]),
        ("book 3", "returned", &[("bookings", 1)]),
        ("sell 1", "begun", &[("debits", 0), ("charges", 0)]),
        ("sell 2", "debited", &[("debits", 1), ("charges", 0)]),
        ("sell 3", "charging", &[("debits", 1), ("charges", 1)]),
        ("sell 4", "charged", &[("debits", 1), ("charges", 1)]),
        ("sell 5", "returned", &[("debits", 1), ("charges", 1)]),
    ];
    for (call, place, written) in places {
        let mut clerk = Clerk::start(&books.url, Some(place));
        assert_eq!(clerk.call(call), "held", "{call}");
        clerk.kill();
        let id = call.split_once(' ').unwrap().1.parse().unwrap();
        let mut before = Vec::new();
        for (table, count) in written {
            let rows = books.written(table, id).await;
            assert_eq!(rows.len(), *count, "{call}, killed when {place}: {table}");
            before.extend(rows);
        }
        let mut next = Clerk::start(&books.url, None);
        let result = next.call(call);
        books.agree_with(call, &result).await;
        assert!(before.iter().all(|by| result.contains(by)), "{call}: {before:?} are part of {result}");
        assert_eq!(next.call(call), result, "{call}");
        assert_eq!(Clerk::start(&books.url, None).call(call), result, "{call}");
    }
}

/// Kills at random moments, again and again, until every call has its result.
async fn whoever_is_killed_at_any_moment_has_written_once(books: Books) {
    let seed = seed();
    println!("seed: {seed}");
    let mut rng = Rng::new(seed);
    let calls: Vec<_> = (100..125).flat_map(|id| [format!("book {id}"), format!("sell {id}")]).collect();
    let mut told = BTreeMap::new();
    let mut kills = 0;
    while told.len() < calls.len() {
        let mut clerk = Clerk::start(&books.url, None);
        // A known result, so that it is at work.
        let first = &calls[0];
        let result = clerk.call(first);
        assert_eq!(told.entry(first).or_insert_with(|| result.clone()), &result, "{first}");
        let open: Vec<_> = calls.iter().filter(|call| !told.contains_key(call)).collect();
        for call in &open {
            writeln!(clerk.input, "{call}").unwrap();
        }
        thread::sleep(Duration::from_micros(rng.below(150_000)));
        clerk.kill();
        kills += 1;
        for call in open {
            let Some(result) = clerk.answer() else { break };
            assert!(!result.starts_with("error"), "{call}: {result}");
            told.insert(call, result);
        }
    }
    println!("kills: {kills}");
    let mut clerk = Clerk::start(&books.url, None);
    for (call, result) in told {
        books.agree_with(call, &result).await;
        assert_eq!(clerk.call(call), result, "{call}");
    }
}

macro_rules! on_both {
    ($($name:ident,)*) => {
        on_both! { @ postgres: $($name,)* }
        on_both! { @ sqlite: $($name,)* }
    };
    (@ $database:ident: $($name:ident,)*) => {
        mod $database {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(super::Books::$database().await).await;
                }
            )*
        }
    };
}

on_both! {
    whoever_is_killed_at_a_place_has_written_all_or_nothing,
    whoever_is_killed_at_any_moment_has_written_once,
}
