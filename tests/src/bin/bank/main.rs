//! The service that the crash harness (`tests/crash`) kills: payments and transfers, on Postgres or SQLite.
//!
//! `DATABASE_URL` names the database, whose tables must be there, `POOL` how many connections it may have, `TUNED`
//! whether it has group commit and a cache of outcomes, and `BESIDE` the mode of one route: `transaction`, or `reservation`,
//! for a fleet that is between the two. It prints where it listens, and ends with its standard input, so that nothing is
//! left of a harness that was killed itself.

mod desk;
mod order;

use std::{env, error::Error, io, net::SocketAddr, thread, time::Duration};

use axum::Router;
use sqlx::{pool::PoolOptions, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

/// Longer than a statement takes, and short enough to see a server go and come back.
const PATIENCE: Duration = Duration::from_secs(3);

fn router() -> Result<Router, Box<dyn Error>> {
    let url = env::var("DATABASE_URL")?;
    let connections = env::var("POOL")?.parse()?;
    let (tuned, reserves) = (env::var("TUNED")? == "true", env::var("BESIDE")? == "reservation");
    // Lazily, as the database may be away when the service starts.
    if url.starts_with("sqlite:") {
        let options = url.parse::<SqliteConnectOptions>()?.busy_timeout(Duration::from_secs(5));
        let pool = PoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE);
        Ok(desk::sqlite::router(pool.connect_lazy_with(options), tuned, reserves))
    } else {
        let options = url.parse::<PgConnectOptions>()?.application_name("bank");
        let pool = PoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE);
        Ok(desk::postgres::router(pool.connect_lazy_with(options), tuned, reserves))
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
