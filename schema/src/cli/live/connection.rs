//! A connection to either database, and what its errors say.

#[cfg(feature = "redis")]
use std::env;
use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use cratestack_schema::{Dialect, Fact, Report, Statement, StatementValue, Stats, TableName};
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Database as SqlDatabase, Encode, Row as _, Type};

use super::record::{Record, RecordRow};
use super::servers::NoServers;
use crate::options::Name;
use crate::output::{Failure, visible};

/// A database, for the commands that know nothing else.
#[derive(Args)]
pub struct Database {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    servers: NoServers,
}

/// A database, where there may be servers of another kind instead.
#[derive(Args)]
pub struct Source {
    /// Where the database is: `postgres://user@host/name` or `sqlite:app.db`
    ///
    /// With a password in it, an environment variable is the better place: the list of processes shows arguments.
    #[arg(long, value_name = "URL", env = VARIABLE, hide_env_values = true)]
    database_url: Option<String>,

    #[command(flatten)]
    name: Name,
}

const VARIABLE: &str = "DATABASE_URL";

pub struct Connection {
    link: Link,
    /// The table that the command is about.
    pub name: TableName,
    /// Which database on which server it is, for whoever reads of it later.
    pub place: String,
}

enum Link {
    Postgres(sqlx::PgConnection),
    Sqlite(sqlx::SqliteConnection),
}

/// The same over either connection: sqlx has no type that is both.
macro_rules! over {
    ($self:expr, $connection:ident => $done:expr) => {
        match $self {
            Link::Postgres($connection) => $done,
            Link::Sqlite($connection) => $done,
        }
    };
}

type Text = Option<String>;
type CatalogueRow = (Text, Text, Text, Text, Text, Text, Text);

/// How long a removal waits for whoever has a row locked.
const LOCK_TIMEOUT: &str = "5s";

impl Database {
    pub async fn connect(&self) -> Result<Connection, Failure> {
        self.servers.refuse()?;
        self.source.connect("").await
    }
}

impl Source {
    /// For a command that is about servers: what is said of a database beside them is a mistake.
    #[cfg(feature = "redis")]
    pub fn unsaid(&self) -> Result<(), Failure> {
        // Of what the environment has, the command has not been told.
        if self.database_url.is_some() && self.database_url != env::var(VARIABLE).ok() {
            let text = "it stands beside --redis-url: give one of them, and run the command once for each";
            return Err(Failure::of("--database-url", text));
        }
        self.name.unsaid().map_err(|flag| Failure::of(flag, "servers of Valkey and Redis have no tables: leave it out"))
    }

    /// Connects; `instead` says what else the command takes.
    pub async fn connect(&self, instead: &str) -> Result<Connection, Failure> {
        const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
        let refused = |error: sqlx::Error| Failure::of("--database-url", describe(&error));
        let Some(database_url) = &self.database_url else {
            let text =
                format!("say which database: postgres://user@host/name or sqlite:app.db, or set {VARIABLE}{instead}");
            return Err(Failure::of("--database-url", text));
        };
        let dialect = match database_url.split(':').next().unwrap_or_default() {
            "postgres" | "postgresql" => Dialect::Postgres,
            "sqlite" => Dialect::Sqlite,
            "redis" | "rediss" | "valkey" | "valkeys" => {
                let text =
                    "it is the URL of a server of Valkey or Redis: give it to `check` and `stats` by --redis-url";
                return Err(Failure::of("--database-url", text));
            }
            _ => return Err(Failure::of("--database-url", "it begins with neither postgres: nor sqlite:")),
        };
        let name = self.name.checked(dialect)?;
        let connecting = async {
            if dialect == Dialect::Sqlite {
                let options: sqlx::sqlite::SqliteConnectOptions = database_url.parse()?;
                let place = options.get_filename().display().to_string();
                Ok((Link::Sqlite(options.connect().await?), place))
            } else {
                let options: PgConnectOptions = database_url.parse()?;
                let options = options.application_name("cratestack-schema");
                let host =
                    options.get_socket().map_or_else(|| options.get_host().into(), |path| path.to_string_lossy());
                let place = format!("{}@{host}", options.get_database().unwrap_or(options.get_username()));
                Ok((Link::Postgres(connect(options).await?), place))
            }
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map(|(link, place)| Connection { link, name, place }).map_err(refused),
            Err(_) => Err(Failure::of("--database-url", "no answer within ten seconds")),
        }
    }
}

/// Encrypted where the server can, and where it cannot, said: by default sqlx falls back without a word.
async fn connect(options: PgConnectOptions) -> Result<sqlx::PgConnection, sqlx::Error> {
    if is_local(&options) {
        return options.connect().await;
    }
    let asked_for = match options.get_ssl_mode() {
        PgSslMode::Prefer => match options.clone().ssl_mode(PgSslMode::Require).connect().await {
            Err(sqlx::Error::Tls(_)) => "the server, or this build of the program, has no encryption",
            connected => return connected,
        },
        PgSslMode::Allow | PgSslMode::Disable => "its URL says so (sslmode)",
        PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => return options.connect().await,
    };
    let connected = options.clone().ssl_mode(PgSslMode::Disable).connect().await?;
    eprintln!(
        "warning: the connection to {} is not encrypted, as {asked_for}: whoever is in between reads the password and \
         what the command reads; sslmode=require in the URL forbids it",
        visible(options.get_host())
    );
    Ok(connected)
}

/// Whether what is sent stays on this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
}

/// What the database says, without the lines of its own source, and what a person can do with it.
pub fn describe(error: &sqlx::Error) -> String {
    let sqlx::Error::Database(refused) = error else { return visible(&error.to_string()) };
    let mut text = refused.message().to_owned();
    if let Some(code) = refused.code() {
        text = format!("{text} (code {code})");
    }
    if let Some(postgres) = refused.try_downcast_ref::<PgDatabaseError>() {
        for (what, said) in [("detail", postgres.detail()), ("hint", postgres.hint())] {
            if let Some(said) = said {
                text = format!("{text}; {what}: {said}");
            }
        }
    }
    visible(&text)
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::of("the database", describe(&error))
    }
}

/// Of a commit whose answer is lost.
fn in_doubt(error: &sqlx::Error) -> Failure {
    Failure::of("the database", format!("{}; whether it was changed is not known: look again", describe(error)))
}

fn bound<'q, DB: SqlDatabase>(statement: &Statement) -> Query<'q, DB, DB::Arguments>
where
    String: Encode<'q, DB> + Type<DB>,
    i64: Encode<'q, DB> + Type<DB>,
{
    let query = sqlx::query(AssertSqlSafe(statement.text.clone()));
    statement.values.iter().fold(query, |query, value| match value {
        StatementValue::Text(text) => query.bind(text.clone()),
        StatementValue::Integer(integer) => query.bind(*integer),
    })
}

impl Connection {
    pub fn dialect(&self) -> Dialect {
        match self.link {
            Link::Postgres(_) => Dialect::Postgres,
            Link::Sqlite(_) => Dialect::Sqlite,
        }
    }

    pub async fn report(&mut self) -> Result<Report, Failure> {
        let (dialect, name) = (self.dialect(), &self.name);
        let text = AssertSqlSafe(name.catalogue(dialect));
        let rows: Vec<CatalogueRow> = over!(&mut self.link, connection => {
            sqlx::query_as(text).bind(name.schema()).bind(name.table()).fetch_all(connection).await?
        });
        let facts: Vec<_> = rows.into_iter().map(|row| Fact::new(<[_; Fact::COLUMNS]>::from(row))).collect();
        Ok(Report::new(name, dialect, &facts))
    }

    /// Statements on a table that is not as they expect fail in their own words; the report says what to do.
    pub async fn sound(&mut self, version: u32) -> Result<(), Failure> {
        let report = self.report().await?;
        if report.version() >= Some(version) { Ok(()) } else { Err(Failure::from(report)) }
    }

    pub async fn counts(&mut self) -> Result<Stats, Failure> {
        let text = AssertSqlSafe(self.name.stats(self.dialect()));
        let (rows, in_flight, past_lease, expired, oldest_seconds, table_bytes, index_bytes) =
            over!(&mut self.link, connection => sqlx::query_as(text).fetch_one(connection).await?);
        Ok(Stats { rows, in_flight, past_lease, expired, oldest_seconds, table_bytes, index_bytes })
    }

    pub async fn expired(&mut self) -> Result<u64, Failure> {
        let text = AssertSqlSafe(self.name.expired(self.dialect()));
        let count: i64 = over!(&mut self.link, connection => sqlx::query_scalar(text).fetch_one(connection).await?);
        Ok(u64::try_from(count).unwrap_or_default())
    }

    pub async fn sweep(&mut self, batch: u32) -> Result<u64, Failure> {
        let text = AssertSqlSafe(self.name.sweep(self.dialect()));
        Ok(over!(&mut self.link, connection => {
            sqlx::query(text).bind(i64::from(batch)).execute(connection).await?.rows_affected()
        }))
    }

    pub async fn records(&mut self, statement: &Statement) -> Result<Vec<Record>, Failure> {
        let rows: Vec<RecordRow> = over!(&mut self.link, connection => {
            let rows = bound(statement).fetch_all(connection).await?;
            rows.iter().map(sqlx::FromRow::from_row).collect::<Result<_, sqlx::Error>>()?
        });
        rows.into_iter().map(Record::try_from).collect()
    }

    /// The steps of a record's run, where it still has the key.
    pub async fn steps(&mut self, record: &Record) -> Result<Option<Vec<u8>>, Failure> {
        let statement = self.name.steps(self.dialect(), &record.principal, &record.key, &record.token);
        let steps = over!(&mut self.link, connection => {
            bound(&statement).fetch_optional(connection).await?.map(|row| row.try_get(0)).transpose()?
        });
        Ok(steps)
    }

    /// Whose records there are of those that a statement counts, and how many in which state.
    pub async fn principals(&mut self, statement: &Statement) -> Result<Vec<PrincipalRow>, Failure> {
        Ok(over!(&mut self.link, connection => {
            let rows = bound(statement).fetch_all(connection).await?;
            rows.iter().map(sqlx::FromRow::from_row).collect::<Result<_, sqlx::Error>>()?
        }))
    }

    /// A page of all principals and keys, see [`TableName::names_page`].
    pub async fn names(&mut self, after: i64, limit: i64) -> Result<Vec<(i64, String, String)>, Failure> {
        let Link::Sqlite(connection) = &mut self.link else { return Ok(Vec::new()) };
        let text = AssertSqlSafe(self.name.names_page());
        sqlx::query_as(text).bind(after).bind(limit).fetch_all(connection).await.map_err(Failure::from)
    }

    /// Removes, in one transaction with what tells the services' processes of it. The states of what is gone.
    pub async fn remove(&mut self, statement: &Statement) -> Result<Vec<String>, Failure> {
        let rows: Vec<(String, i64)> = match &mut self.link {
            Link::Postgres(connection) => {
                let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
                let timeout = AssertSqlSafe(format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"));
                sqlx::query(timeout).execute(&mut *transaction).await?;
                let rows = bound(statement).fetch_all(&mut *transaction).await?;
                let rows = rows.iter().map(sqlx::FromRow::from_row).collect::<Result<_, sqlx::Error>>()?;
                transaction.commit().await.map_err(|error| in_doubt(&error))?;
                rows
            }
            Link::Sqlite(connection) => {
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                let rows = bound(statement).fetch_all(&mut *transaction).await?;
                let rows: Vec<(String, i64)> =
                    rows.iter().map(sqlx::FromRow::from_row).collect::<Result<_, sqlx::Error>>()?;
                let outcomes = rows.iter().filter(|(state, _)| state == "finished" || state == "expired");
                if let Some(expiry) = outcomes.map(|(_, expiry)| *expiry).max() {
                    let mark = AssertSqlSafe(self.name.mark_forgotten());
                    sqlx::query(mark).bind(expiry).execute(&mut *transaction).await?;
                }
                transaction.commit().await.map_err(|error| in_doubt(&error))?;
                rows
            }
        };
        Ok(rows.into_iter().map(|(state, _)| state).collect())
    }

    /// What the database's clock shows, in milliseconds after the Unix epoch, and who is connected.
    pub async fn moment(&mut self) -> Result<(i64, Option<String>), Failure> {
        let text = match self.dialect() {
            Dialect::Postgres => {
                "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint, current_user::text".to_owned()
            }
            dialect => format!("SELECT {}, NULL", dialect.now()),
        };
        let text = AssertSqlSafe(text);
        Ok(over!(&mut self.link, connection => sqlx::query_as(text).fetch_one(connection).await?))
    }

    pub async fn close(self) {
        // The work is done; how the goodbye went is nobody's concern.
        let _ = over!(self.link, connection => connection.close().await);
    }
}

/// A principal as the table has it, and how many of its records are in flight, past their lease, finished and expired.
pub type PrincipalRow = (String, i64, i64, i64, i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_machine_is_not_local() {
        let is_local = |url: &str| is_local(&url.parse().unwrap());
        for url in
            ["postgres://u@localhost/x", "postgres://u@127.0.0.9/x", "postgres://u@[::1]/x", "postgres:///x?host=/run"]
        {
            assert!(is_local(url), "{url}");
        }
        for url in ["postgres://u@db.example.com/x", "postgres://u@10.0.0.7/x", "postgres://u@[fd00::1]/x"] {
            assert!(!is_local(url), "{url}");
        }
    }
}
