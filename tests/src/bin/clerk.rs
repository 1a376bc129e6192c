//! A process that calls guarded functions, to be killed (`tests/functions/killed.rs`). It is no service: it reads calls
//! from its standard input, such as `book 7`, makes one after the other, and prints what each has returned.
//!
//! `DATABASE_URL` names the database, whose tables must be there. With `HOLD`, the name of a place in the code, it prints
//! `held` when it first comes there, and goes no further. It ends with its standard input.

use std::{env, error::Error, future::pending, io, time::Duration};

use cratestack_runtime::{Idempotency, InTransaction, PostgresStore, Reservation, SqliteStore, Tx, idempotent};
use sqlx::{PgPool, Pool, Postgres, Sqlite, postgres::PgPoolOptions, sqlite::SqliteConnectOptions};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Whatever went wrong, in words.
struct ClerkError(String);

impl<E: Error> From<E> for ClerkError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Stops the process here, if it is told to.
async fn passes(place: &str) {
    if env::var("HOLD").is_ok_and(|hold| hold == place) {
        println!("held");
        pending::<()>().await;
    }
}

/// The functions over one of the databases. What each returns says which run of it counts.
macro_rules! clerk {
    ($module:ident: $DB:ty, $Store:ty) => {
        mod $module {
            use super::*;

            #[derive(Clone)]
            pub(super) struct Clerk {
                idempotency: Idempotency<$Store>,
                pool: Pool<$DB>,
            }

            /// One commit: the write and what is returned. It runs where it is called.
            #[idempotent(handle = clerk.idempotency, name = "book", key = id, transaction, wait = "20s")]
            async fn book(
                clerk: &Clerk,
                id: i64,
                reservation: Reservation<InTransaction>,
                mut tx: Tx<$DB>,
            ) -> Result<String, ClerkError> {
                passes("begun").await;
                let token = reservation.token().to_string();
                sqlx::query("INSERT INTO bookings VALUES ($1, $2)").bind(id).bind(&token).execute(&mut *tx).await?;
                passes("written").await;
                Ok(token)
            }

            /// A debit, a charge elsewhere, and a result of both. It runs on a task of its own.
            #[idempotent(handle = clerk.idempotency, name = "sell", key = id, lease = "1s", wait = "20s")]
            async fn sell(clerk: Clerk, id: i64, reservation: Reservation<$DB>) -> Result<String, ClerkError> {
                passes("begun").await;
                let token = reservation.token().to_string();
                let debit = reservation.transaction("debit", async |tx: &mut Tx<$DB>| {
                    sqlx::query("INSERT INTO debits VALUES ($1, $2)").bind(id).bind(&token).execute(&mut **tx).await?;
                    Ok::<_, ClerkError>(token.clone())
                });
                let debit = debit.await?;
                passes("debited").await;
                let charge = reservation.step("charge", async || {
                    let charge = reservation.derive("charge").to_string();
                    // As a provider that knows its keys.
                    let once = "INSERT INTO charges VALUES ($1, $2) ON CONFLICT DO NOTHING";
                    sqlx::query(once).bind(id).bind(&charge).execute(&clerk.pool).await?;
                    passes("charging").await;
                    Ok::<_, ClerkError>(charge)
                });
                let charge = charge.await?;
                passes("charged").await;
                Ok(format!("{debit} {charge}"))
            }

            impl Clerk {
                pub(super) fn over(pool: Pool<$DB>) -> Self {
                    Self { idempotency: Idempotency::transactional(<$Store>::new(pool.clone())), pool }
                }

                pub(super) async fn call(&self, function: &str, id: i64) -> Result<String, ClerkError> {
                    let result = match function {
                        "book" => book(self, id).await,
                        _ => sell(self.clone(), id).await,
                    };
                    passes("returned").await;
                    result
                }
            }
        }
    };
}

clerk! { postgres: Postgres, PostgresStore }
clerk! { sqlite: Sqlite, SqliteStore }

async fn serve(call: impl AsyncFn(&str, i64) -> Result<String, ClerkError>) -> Result<(), Box<dyn Error>> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (function, id) = line.split_once(' ').ok_or("no call")?;
        match call(function, id.parse()?).await {
            Ok(result) => println!("{result}"),
            Err(error) => println!("error: {}", error.0),
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(io::stderr).init();
    let url = env::var("DATABASE_URL")?;
    if url.starts_with("sqlite:") {
        let options = url.parse::<SqliteConnectOptions>()?.busy_timeout(Duration::from_secs(20));
        let clerk = sqlite::Clerk::over(sqlx::SqlitePool::connect_with(options).await?);
        serve(async |function, id| clerk.call(function, id).await).await
    } else {
        let pool: PgPool = PgPoolOptions::new().max_connections(4).connect(&url).await?;
        let clerk = postgres::Clerk::over(pool);
        serve(async |function, id| clerk.call(function, id).await).await
    }
}
