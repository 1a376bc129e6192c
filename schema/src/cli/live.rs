//! The commands that connect to a database.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::str::FromStr as _;

use clap::Args;
use cratestack_schema::{Dialect, INSPECTION_COLUMNS, Inspection, NamedTable, Statistics};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _, SqliteConnection};

use super::{Failure, Name, print};

#[derive(Args)]
struct Database {
    /// Where the database is: `postgres://user@host/name` or `sqlite://file.db`
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,

    #[command(flatten)]
    name: Name,
}

#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    database: Database,

    /// Look at it with the rights of this role, that of the services (Postgres alone)
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
}

#[derive(Args)]
pub(super) struct Stats {
    #[command(flatten)]
    database: Database,

    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Sweep {
    #[command(flatten)]
    database: Database,

    /// How many rows to delete at a time
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
}

pub(super) trait Live {
    async fn answer(self) -> Result<ExitCode, Failure>;
}

pub(super) fn run(command: impl Live) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start", error))?;
    runtime.block_on(command.answer())
}

enum Connection {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

fn said(error: impl fmt::Display) -> Failure {
    Failure::new("the database refused", error)
}

impl Database {
    async fn open(&self) -> Result<(Connection, NamedTable), Failure> {
        let table = self.name.table()?;
        let url = self.database_url.as_str();
        // The URL may hold a password, so none of what is said here repeats it.
        let failed = |error: sqlx::Error| Failure::new("--database-url: cannot connect", error);
        let scheme = url.split(':').next().unwrap_or_default();
        let connection = match scheme {
            "postgres" | "postgresql" => {
                let options = PgConnectOptions::from_str(url).map_err(failed)?.application_name("cratestack-schema");
                Connection::Postgres(options.disable_statement_logging().connect().await.map_err(failed)?)
            }
            "sqlite" => {
                let options = SqliteConnectOptions::from_str(url).map_err(failed)?;
                Connection::Sqlite(options.disable_statement_logging().connect().await.map_err(failed)?)
            }
            _ => {
                let text = "--database-url: not the URL of a database that is known: postgres://… or sqlite://…";
                return Err(Failure(text.to_owned()));
            }
        };
        Ok((connection, table))
    }
}

impl Connection {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    async fn inspect(&mut self, table: &NamedTable) -> Result<Inspection, Failure> {
        let dialect = self.dialect();
        let query = sqlx::AssertSqlSafe(table.inspection(dialect));
        let mut rows = Vec::new();
        match self {
            Self::Postgres(connection) => {
                for row in sqlx::query(query).fetch_all(connection).await.map_err(said)? {
                    rows.push(texts(|index| row.try_get(index))?);
                }
            }
            Self::Sqlite(connection) => {
                for row in sqlx::query(query).fetch_all(connection).await.map_err(said)? {
                    rows.push(texts(|index| row.try_get(index))?);
                }
            }
        }
        Ok(table.inspect(dialect, rows))
    }

    async fn numbers<const N: usize>(&mut self, query: String) -> Result<[Option<i64>; N], Failure> {
        let mut numbers = [None; N];
        match self {
            Self::Postgres(connection) => {
                let row = sqlx::query(AssertSqlSafe(query)).fetch_one(connection).await.map_err(said)?;
                for (index, number) in numbers.iter_mut().enumerate() {
                    *number = row.try_get(index).map_err(said)?;
                }
            }
            Self::Sqlite(connection) => {
                let row = sqlx::query(AssertSqlSafe(query)).fetch_one(connection).await.map_err(said)?;
                for (index, number) in numbers.iter_mut().enumerate() {
                    *number = row.try_get(index).map_err(said)?;
                }
            }
        }
        Ok(numbers)
    }

    async fn sweep(&mut self, statement: &str, batch: u32) -> Result<u64, Failure> {
        let statement = AssertSqlSafe(statement);
        let limit = i64::from(batch);
        match self {
            Self::Postgres(connection) => {
                let swept = sqlx::query(statement).bind(limit).execute(connection).await.map_err(said)?;
                Ok(swept.rows_affected())
            }
            Self::Sqlite(connection) => {
                let swept = sqlx::query(statement).bind(limit).execute(connection).await.map_err(said)?;
                Ok(swept.rows_affected())
            }
        }
    }

    /// What reads or deletes rows needs a table that it can read.
    async fn usable(&mut self, table: &NamedTable) -> Result<Inspection, Failure> {
        let found = self.inspect(table).await?;
        match found.upgrade() {
            Err(error) => Err(Failure::new("--table", error)),
            Ok(_) if !found.is_there() => Err(Failure(format!(
                "--table, --schema: there is no table {}; see `cratestack-schema ddl`",
                table.name().sql(self.dialect())
            ))),
            Ok(_) => Ok(found),
        }
    }
}

fn texts(
    get: impl Fn(usize) -> Result<Option<String>, sqlx::Error>,
) -> Result<[Option<String>; INSPECTION_COLUMNS], Failure> {
    let mut values = [const { None }; INSPECTION_COLUMNS];
    for (index, value) in values.iter_mut().enumerate() {
        *value = get(index).map_err(said)?;
    }
    Ok(values)
}

impl Live for Check {
    async fn answer(self) -> Result<ExitCode, Failure> {
        let (mut connection, table) = self.database.open().await?;
        if let Some(role) = &self.role {
            match &mut connection {
                Connection::Postgres(connection) => {
                    let role = format!("SET ROLE \"{}\"", role.replace('"', "\"\""));
                    let taken = sqlx::raw_sql(AssertSqlSafe(role)).execute(connection).await;
                    taken.map_err(|error| Failure::new("--role", error))?;
                }
                Connection::Sqlite(_) => {
                    return Err(Failure("--role: sqlite has no roles; leave it out".to_owned()));
                }
            }
        }
        let report = connection.inspect(&table).await?.report();
        print(&report.to_string())?;
        Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Live for Stats {
    async fn answer(self) -> Result<ExitCode, Failure> {
        let (mut connection, table) = self.database.open().await?;
        let found = connection.usable(&table).await?;
        let numbers = connection.numbers(found.statistics()).await?;
        let statistics = Statistics::new(table.name(), numbers);
        if self.json { print(&format!("{}\n", statistics.to_json())) } else { print(&statistics.to_string()) }
    }
}

impl Live for Sweep {
    async fn answer(self) -> Result<ExitCode, Failure> {
        let (mut connection, table) = self.database.open().await?;
        connection.usable(&table).await?;
        let dialect = connection.dialect();
        let statement = table.sweep(dialect);
        let [expired] = connection.numbers(table.expired(dialect)).await?;
        let expired = expired.and_then(|expired| u64::try_from(expired).ok()).unwrap_or_default();
        let mut progress = Progress::new(expired);
        let mut swept = 0;
        loop {
            let batch = connection.sweep(&statement, self.batch).await?;
            swept += batch;
            progress.show(swept);
            if batch < u64::from(self.batch) {
                break;
            }
        }
        progress.end();
        if swept == 0 && expired > 0 {
            eprintln!("nothing was deleted of {expired} expired rows: another sweep is at work, or they are locked");
        }
        let name = table.name().sql(dialect);
        print(&format!("deleted {swept} expired {} from {name}\n", if swept == 1 { "row" } else { "rows" }))
    }
}

/// A line that is written over and over, where somebody watches.
struct Progress {
    whole: u64,
    watched: bool,
}

impl Progress {
    fn new(whole: u64) -> Self {
        Self { whole, watched: io::stderr().is_terminal() }
    }

    fn show(&mut self, done: u64) {
        if self.watched {
            // More can expire meanwhile.
            self.whole = self.whole.max(done).max(1);
            let hashes = usize::try_from(done * 30 / self.whole).unwrap_or_default();
            let mut stderr = io::stderr();
            let _ = write!(stderr, "\r[{:<30}] {done} of {}", "#".repeat(hashes), self.whole);
            let _ = stderr.flush();
        }
    }

    fn end(&self) {
        if self.watched {
            eprintln!();
        }
    }
}
