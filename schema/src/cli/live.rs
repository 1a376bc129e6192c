//! The commands that connect to a database.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use cratestack_schema::{Dialect, Fact, Report, Stats as Counts, TableName};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::options::Name;
use crate::output::{Failure, Progress, paint, print};

#[derive(Args)]
struct Database {
    /// Where the database is: `postgres://user@host/name` or `sqlite:app.db`
    ///
    /// With a password in it, an environment variable is the better place: the list of processes shows arguments.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,

    #[command(flatten)]
    name: Name,
}

/// What is compared: the database at --database-url with the table that --schema and --table name.
#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    database: Database,
}

#[derive(Args)]
pub struct Stats {
    #[command(flatten)]
    database: Database,

    /// One line of JSON, for machines
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Sweep {
    #[command(flatten)]
    database: Database,

    /// How many rows one statement deletes
    #[arg(long, value_name = "ROWS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
}

pub fn run(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

enum Connection {
    Postgres(sqlx::PgConnection),
    Sqlite(sqlx::SqliteConnection),
}

/// The same over either connection: sqlx has no type that is both.
macro_rules! over {
    ($self:expr, $connection:ident => $done:expr) => {
        match $self {
            Connection::Postgres($connection) => $done,
            Connection::Sqlite($connection) => $done,
        }
    };
}

type Text = Option<String>;
type CatalogueRow = (Text, Text, Text, Text, Text, Text, Text);

impl Database {
    async fn connect(&self) -> Result<(Connection, TableName), Failure> {
        const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
        let refused = |error: sqlx::Error| Failure::of("--database-url", error);
        let dialect = match self.database_url.split(':').next().unwrap_or_default() {
            "postgres" | "postgresql" => Dialect::Postgres,
            "sqlite" => Dialect::Sqlite,
            _ => return Err(Failure::of("--database-url", "it begins with neither postgres: nor sqlite:")),
        };
        let name = self.name.checked(dialect)?;
        let connecting = async {
            if dialect == Dialect::Sqlite {
                let options: sqlx::sqlite::SqliteConnectOptions = self.database_url.parse()?;
                options.connect().await.map(Connection::Sqlite)
            } else {
                let options: sqlx::postgres::PgConnectOptions = self.database_url.parse()?;
                options.application_name("cratestack-schema").connect().await.map(Connection::Postgres)
            }
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => Ok((connected.map_err(refused)?, name)),
            Err(_) => Err(Failure::of("--database-url", "no answer within ten seconds")),
        }
    }
}

impl Connection {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    async fn report(&mut self, name: &TableName) -> Result<Report, Failure> {
        let dialect = self.dialect();
        let text = AssertSqlSafe(name.catalogue(dialect));
        let rows: Vec<CatalogueRow> = over!(self, connection => {
            sqlx::query_as(text).bind(name.schema()).bind(name.table()).fetch_all(connection).await?
        });
        let facts: Vec<_> = rows.into_iter().map(|row| Fact::new(<[_; Fact::COLUMNS]>::from(row))).collect();
        Ok(Report::new(name, dialect, &facts))
    }

    async fn counts(&mut self, name: &TableName) -> Result<Counts, Failure> {
        let text = AssertSqlSafe(name.stats(self.dialect()));
        let (rows, in_flight, past_lease, expired, oldest_seconds, table_bytes, index_bytes) =
            over!(self, connection => sqlx::query_as(text).fetch_one(connection).await?);
        Ok(Counts { rows, in_flight, past_lease, expired, oldest_seconds, table_bytes, index_bytes })
    }

    async fn expired(&mut self, name: &TableName) -> Result<u64, Failure> {
        let text = AssertSqlSafe(name.expired(self.dialect()));
        let count: i64 = over!(self, connection => sqlx::query_scalar(text).fetch_one(connection).await?);
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn sweep(&mut self, name: &TableName, batch: u32) -> Result<u64, Failure> {
        let text = AssertSqlSafe(name.sweep(self.dialect()));
        Ok(over!(self, connection => {
            sqlx::query(text).bind(i64::from(batch)).execute(connection).await?.rows_affected()
        }))
    }

    /// Statements on a table that is not as they expect fail in their own words; the report says what to do.
    async fn sound(&mut self, name: &TableName, version: u32) -> Result<(), Failure> {
        let report = self.report(name).await?;
        if report.version() >= Some(version) { Ok(()) } else { Err(Failure::from(report)) }
    }

    async fn close(self) {
        // The work is done; how the goodbye went is nobody's concern.
        let _ = over!(self, connection => connection.close().await);
    }
}

impl Check {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let (mut connection, name) = self.database.connect().await?;
        let report = connection.report(&name).await?;
        connection.close().await;
        let mut text = report.to_string();
        for finding in report.findings() {
            let kind = format!("\n  {:<12}", finding.kind);
            let painted = format!("\n  {}", paint(&io::stdout(), "31", &format!("{:<12}", finding.kind)));
            text = text.replace(&kind, &painted);
        }
        print(&format!("{text}\n"))?;
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Stats {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let (mut connection, name) = self.database.connect().await?;
        connection.sound(&name, cratestack_schema::IDEMPOTENCY.latest()).await?;
        let counts = connection.counts(&name).await?;
        connection.close().await;
        if self.json {
            print(&format!("{}\n", counts.json()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let lines = [
            ("rows", counts.rows.to_string()),
            ("finished", counts.finished().to_string()),
            ("in flight", counts.in_flight.to_string()),
            ("past their lease", counts.past_lease.to_string()),
            ("expired, unswept", counts.expired.to_string()),
            ("oldest", counts.oldest_seconds.map_or_else(|| "-".to_owned(), age)),
            ("table", bytes(counts.table_bytes)),
            ("indexes", counts.index_bytes.map_or_else(|| "in the table's".to_owned(), bytes)),
        ];
        let lines = lines.map(|(what, count)| format!("{what:<18}{count:>16}\n"));
        print(&lines.concat())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Sweep {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let (mut connection, name) = self.database.connect().await?;
        // What a sweep looks at has been there since the first version.
        connection.sound(&name, 1).await?;
        let progress = Progress::new(connection.expired(&name).await?);
        let started = Instant::now();
        let mut swept = 0;
        loop {
            progress.show(swept);
            let batch = connection.sweep(&name, self.batch).await.inspect_err(|_| progress.clear())?;
            swept += batch;
            if batch == 0 {
                break;
            }
        }
        progress.clear();
        let left = connection.expired(&name).await?;
        connection.close().await;
        eprintln!("deleted {swept} expired rows in {:.1} s", started.elapsed().as_secs_f64());
        if left > 0 {
            eprintln!("{left} are left: another process sweeps, or holds them; run this again later");
        }
        print(&format!("{swept}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn bytes(count: i64) -> String {
    match count {
        ..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{} KiB", count / 1_024),
        10_485_760..10_737_418_240 => format!("{} MiB", count / 1_048_576),
        _ => format!("{} GiB", count / 1_073_741_824),
    }
}
