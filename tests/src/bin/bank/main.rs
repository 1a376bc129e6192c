//! The service that the harnesses kill (`tests/crash`) or cut off from its database (`tests/outage`): payments,
//! transfers and charges, on Postgres or SQLite.
//!
//! `DATABASE_URL` names the database, whose tables must be there, `POOL` how many connections it may have, `TUNED`
//! whether it has group commit and a cache of outcomes, and `BESIDE` the mode of one route: `transaction`, or
//! `reservation`, for a fleet that is between the two. `LEASE_MS` is the lease of the routes below `/leased`,
//! `STORE_TIMEOUT_MS` how long the store is awaited, `ACQUIRE_MS` how long a connection is, and `LEDGER` a file where
//! each of their runs is reported. With `PROVIDER`, an address, it also has the routes below `/steps`, whose lease is
//! that of `/leased`. With `REDIS_URLS`, the nodes of a Cluster with commas between, the keys of `/reservation` and of
//! `/leased/charges` lie there, `ACKNOWLEDGED_BY` says by how many replicas, and each outcome that is recorded is reported, too. It prints where it listens, and ends with its standard input, so that nothing is left of a
//! harness that was killed itself.

mod handlers;
mod ledger;
mod order;
mod purchase;

use std::{env, error::Error, io, net::SocketAddr, thread, time::Duration};

use axum::Router;
use cratestack_runtime::RedisStore;
use ledger::Ledger;
use purchase::Provider;
use redis::Client;
use sqlx::{pool::PoolOptions, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

/// Longer than a statement takes, and short enough to see a server go and come back.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
struct Settings {
    tuned: bool,
    reserves: bool,
    lease: Option<Duration>,
    store_timeout: Duration,
    provider: Option<Provider>,
    /// Instead of the database, for keys that have no transaction.
    cluster: Option<RedisStore>,
}

fn milliseconds(name: &str) -> Result<Option<Duration>, Box<dyn Error>> {
    let value = env::var(name).ok().map(|value| value.parse()).transpose()?;
    Ok(value.map(Duration::from_millis))
}

fn cluster() -> Result<Option<RedisStore>, Box<dyn Error>> {
    let Ok(urls) = env::var("REDIS_URLS") else { return Ok(None) };
    let nodes = urls.split(',').map(Client::open).collect::<Result<Vec<_>, _>>()?;
    let store = RedisStore::cluster(nodes)?;
    Ok(Some(store.acknowledged_by(env::var("ACKNOWLEDGED_BY")?.parse()?)))
}

fn router() -> Result<Router, Box<dyn Error>> {
    let url = env::var("DATABASE_URL")?;
    let connections = env::var("POOL")?.parse()?;
    let settings = Settings {
        tuned: env::var("TUNED")? == "true",
        reserves: env::var("BESIDE")? == "reservation",
        lease: milliseconds("LEASE_MS")?,
        store_timeout: milliseconds("STORE_TIMEOUT_MS")?.unwrap_or(PATIENCE),
        provider: Provider::from_env()?,
        cluster: cluster()?,
    };
    let ledger = Ledger::open()?;
    let patience = milliseconds("ACQUIRE_MS")?.unwrap_or(PATIENCE);
    // Lazily, as the database may be away when the service starts.
    if url.starts_with("sqlite:") {
        let options = url.parse::<SqliteConnectOptions>()?.busy_timeout(Duration::from_secs(5));
        let pool = PoolOptions::new().max_connections(connections).acquire_timeout(patience);
        Ok(handlers::sqlite::router(pool.connect_lazy_with(options), &settings, ledger))
    } else {
        let options = url.parse::<PgConnectOptions>()?.application_name("bank");
        let pool = PoolOptions::new().max_connections(connections).acquire_timeout(patience);
        Ok(handlers::postgres::router(pool.connect_lazy_with(options), &settings, ledger))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(io::stderr).init();
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router()?.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
