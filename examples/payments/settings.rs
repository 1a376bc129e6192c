//! What the environment sets, and what the service says when it is up.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `PORT` | `3000` | where to listen on 127.0.0.1; `0` picks a free port |
//! | `LEASE` | `30s` | how long a key stays reserved once its holder is gone |
//! | `DATABASE_URL` | `sqlite://payments.db` | `sqlite://FILE`, made when missing, or `postgres://…` |
//! | `REDIS_URL` | none | where keys without a transaction are: `redis://…`, or a Cluster's nodes with commas between |
//! | `SUPERVISE` | `1` | the service is a child process that starts again when it crashes; `0`: it is this process |

use std::{
    env::{self, VarError},
    fmt::Display,
    net::SocketAddr,
    str::FromStr as _,
    time::Duration,
};

use sqlx::{
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::keys::Redis;

const DAY: Duration = Duration::from_hours(24);

pub(crate) struct Settings {
    pub(crate) database: Database,
    pub(crate) redis: Option<Redis>,
    pub(crate) lease: Duration,
    pub(crate) supervise: bool,
    port: u16,
}

pub(crate) enum Database {
    Postgres(PgConnectOptions),
    Sqlite(SqliteConnectOptions),
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self, String> {
        Ok(Self {
            database: database(&variable("DATABASE_URL", "sqlite://payments.db")?)?,
            redis: redis(&variable("REDIS_URL", "")?)?,
            lease: lease(&variable("LEASE", "30s")?)?,
            supervise: supervise(&variable("SUPERVISE", "1")?)?,
            port: port(&variable("PORT", "3000")?)?,
        })
    }

    pub(crate) async fn listen(&self) -> Result<TcpListener, String> {
        let port = self.port;
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        listener.map_err(|error| {
            format!(
                "cannot listen on 127.0.0.1:{port}: {error}. PORT names another port, and 0 any that is free: \
                 PORT=0 cargo run --example payments"
            )
        })
    }
}

fn variable(name: &str, default: &str) -> Result<String, String> {
    match env::var(name) {
        Ok(value) => Ok(value),
        Err(VarError::NotPresent) => Ok(default.to_owned()),
        Err(VarError::NotUnicode(value)) => Err(format!("{name} must be text, and is {}", value.display())),
    }
}

fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| format!("PORT must be a number from 0 to 65535 (0 picks a free port), and is {value:?}"))
}

fn lease(value: &str) -> Result<Duration, String> {
    let lease = humantime::parse_duration(value).ok().filter(|lease| !lease.is_zero() && *lease <= DAY);
    lease
        .ok_or_else(|| format!("LEASE must be a duration above 0 and up to 24h, such as 2s or 500ms, and is {value:?}"))
}

fn supervise(value: &str) -> Result<bool, String> {
    match value {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(format!("SUPERVISE must be 1 or 0, and is {value:?}")),
    }
}

fn database(url: &str) -> Result<Database, String> {
    let wrong =
        |problem: &dyn Display| format!("DATABASE_URL must be sqlite://FILE or postgres://USER@HOST/NAME: {problem}");
    // Nothing after the scheme is ever shown, as it may hold a password.
    match url.split_once(':') {
        Some(("postgres" | "postgresql", _)) => {
            Ok(Database::Postgres(PgConnectOptions::from_str(url).map_err(|error| wrong(&error))?))
        }
        Some(("sqlite", file)) if matches!(file.trim_start_matches('/'), "" | ":memory:") => {
            Err(wrong(&"what is not in a file would be lost"))
        }
        Some(("sqlite", _)) => {
            let options = SqliteConnectOptions::from_str(url).map_err(|error| wrong(&error))?;
            // A payment that was answered must survive a power cut.
            let durable = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
            Ok(Database::Sqlite(durable.create_if_missing(true).busy_timeout(Duration::from_secs(5))))
        }
        Some((scheme, _)) => Err(wrong(&format_args!("{scheme}: is neither"))),
        None => Err(wrong(&"it names neither")),
    }
}

fn redis(urls: &str) -> Result<Option<Redis>, String> {
    if urls.is_empty() { Ok(None) } else { Redis::parse(urls).map(Some) }
}

pub(crate) fn announce(address: SocketAddr) {
    // The records outlive the service: a key that is printed at every start would be a replay from the second start on.
    let [key, crashing] = [Uuid::new_v4(), Uuid::new_v4()];
    let pay = |query: &str, key: Uuid| {
        format!(
            "curl -i '{address}/payments{query}' -H 'Idempotency-Key: {key}' \
             --json '{{\"amount\": 1200, \"currency\": \"EUR\"}}'"
        )
    };
    // At once: whoever waits for the first line may close the pipe after it.
    println!(
        "listening on http://{address}\n\
         Open that in a browser. Or send this twice: the second answer is the first one, byte for byte, and a replay.\n\
         {}\n\
         All payments:\n\
         curl {address}/payments\n\
         This one crashes the service, so it gets no answer; the service comes back by itself, unless SUPERVISE=0 \
         is set:\n\
         {}",
        pay("", key),
        pay("?crash=1", crashing),
    );
}

/// Resolves on Ctrl-C, on SIGTERM where there is one, and where the supervisor is gone or wants it.
pub(crate) async fn told_to_stop() {
    tokio::select! {
        () = asked_by_signal() => {}
        () = crate::supervise::lifeline_ends() => {}
    }
}

async fn asked_by_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
