//! A purchase in three steps, the same one on either database: a charge at a provider, a debit in the database, a
//! shipment that is written down elsewhere. Each is reported, so that a harness can tell what ran twice.

use std::{
    env, fmt, io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::{
    Json,
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response},
};
use cratestack_runtime::{StepError, Unrecorded};
use cratestack_tests::Client;
use serde::Deserialize;
use serde_json::json;

use crate::{
    ledger::{Running, Stage},
    order::run,
};

/// Where the provider is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Provider(Client);

/// The body of a request. All of it is part of the request, so that a retry is the same one.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Purchase {
    /// The same as the idempotency key, for the books.
    key: String,
    amount: i64,
    /// Milliseconds: before the first step; in each of the three, after what it does; after the last.
    pauses: [u64; 5],
    /// The debit thinks better of it once everything is written.
    declined: bool,
    /// What the first attempt comes to once it has made so many steps.
    trouble: Option<(usize, Trouble)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Trouble {
    Error,
    Panic,
}

impl Provider {
    pub(crate) fn from_env() -> Result<Option<Self>, Box<dyn std::error::Error>> {
        let Ok(address) = env::var("PROVIDER") else { return Ok(None) };
        Ok(Some(Self(Client::new(address.parse::<SocketAddr>()?))))
    }

    /// The name of the charge.
    async fn charge(&self, key: &str, purchase: &Purchase) -> Result<String, Unfinished> {
        let body = json!({"purchase": purchase.key, "amount": purchase.amount});
        let answer = self.0.post("/charges").key(key).json(&body).send().await?;
        match answer.json()["charge"].as_str() {
            Some(charge) if answer.status == StatusCode::CREATED => Ok(charge.to_owned()),
            _ => Err(Unfinished::Defect(format!("the provider answers {answer:?}"))),
        }
    }
}

impl Purchase {
    async fn pause(&self, nth: usize) {
        tokio::time::sleep(Duration::from_millis(self.pauses[nth])).await;
    }

    fn trouble(&self, attempt: u32, steps: usize) -> Result<(), Unfinished> {
        match self.trouble {
            Some((after, Trouble::Error)) if (attempt, after) == (1, steps) => Err(Unfinished::Asked),
            Some((after, Trouble::Panic)) if (attempt, after) == (1, steps) => panic!("asked to"),
            _ => Ok(()),
        }
    }
}

/// A step as it is reported: whether its closure ran shows in what `tell` is told.
struct Reported<'a> {
    running: &'a Running,
    name: &'static str,
    ran: AtomicBool,
}

impl<'a> Reported<'a> {
    fn of(running: &'a Running, name: &'static str) -> Self {
        Self { running, name, ran: AtomicBool::new(false) }
    }

    fn begun(&self) {
        self.ran.store(true, Ordering::Relaxed);
        self.running.tell(self.name, Stage::Begun);
    }

    fn done(&self, value: &impl fmt::Display) {
        self.running.tell(self.name, Stage::Done(&value.to_string()));
    }

    fn ended(&self, value: &impl fmt::Display) {
        let value = value.to_string();
        let stage = if self.ran.load(Ordering::Relaxed) { Stage::Recorded(&value) } else { Stage::Skipped(&value) };
        self.running.tell(self.name, stage);
    }
}

/// What a purchase has come to.
pub(crate) struct Bought {
    charge: String,
    debit: i64,
    shipment: String,
}

impl IntoResponse for Bought {
    fn into_response(self) -> Response {
        let Self { charge, debit, shipment } = self;
        let body = Json(json!({"charge": charge, "debit": debit, "shipment": shipment}));
        (StatusCode::CREATED, [run()], body).into_response()
    }
}

/// Why there is no purchase. All but `Declined` end this attempt only.
#[derive(Debug)]
pub(crate) enum Unfinished {
    Declined,
    Asked,
    Defect(String),
    Provider(io::Error),
    Database(sqlx::Error),
    Step(StepError),
}

impl From<io::Error> for Unfinished {
    fn from(error: io::Error) -> Self {
        Self::Provider(error)
    }
}

impl From<sqlx::Error> for Unfinished {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StepError> for Unfinished {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined => f.write_str("declined"),
            Self::Asked => f.write_str("the purchase asked for it"),
            Self::Defect(what) => f.write_str(what),
            Self::Provider(error) => error.fmt(f),
            Self::Database(error) => error.fmt(f),
            Self::Step(error) => error.fmt(f),
        }
    }
}

impl IntoResponse for Unfinished {
    fn into_response(self) -> Response {
        let why = match &self {
            Self::Declined => return (StatusCode::PAYMENT_REQUIRED, [run()], "declined").into_response(),
            Self::Asked => "asked",
            Self::Provider(_) => "provider",
            Self::Database(_) => "database",
            Self::Step(StepError::Lost { .. }) => "lost",
            Self::Step(StepError::Store { .. }) => "store",
            Self::Step(StepError::TimedOut { .. }) => "timed out",
            Self::Step(StepError::RolledBack { .. }) => "rolled back",
            Self::Step(StepError::Unknown { .. }) => "unknown",
            Self::Step(_) | Self::Defect(_) => "defect",
        };
        let why = [(HeaderName::from_static("x-unfinished"), why)];
        (StatusCode::SERVICE_UNAVAILABLE, Unrecorded, why, self.to_string()).into_response()
    }
}

/// A module of handlers for each database.
macro_rules! purchases {
    ($name:ident, $db:ty, $store:ty) => {
        pub(crate) mod $name {
            use axum::{
                Json, Router,
                extract::{FromRef, State},
                routing::post,
            };
            use cratestack_runtime::{Idempotency, Reservation, Tx, idempotent};

            use super::{Bought, Provider, Purchase, Reported, Unfinished};
            use crate::ledger::Ledger;

            #[derive(Clone, FromRef)]
            struct Shop {
                idempotency: Idempotency<$store>,
                ledger: Ledger,
                provider: Provider,
            }

            pub(crate) fn router(idempotency: Idempotency<$store>, ledger: Ledger, provider: Provider) -> Router {
                Router::new()
                    .route("/steps/purchases", post(purchase))
                    .route("/steps/waiting", post(purchase_in_turn))
                    .with_state(Shop { idempotency, ledger, provider })
            }

            async fn buy(
                reservation: Reservation<$db>,
                Shop { ledger, provider, .. }: Shop,
                purchase: &Purchase,
            ) -> Result<Bought, Unfinished> {
                let running = ledger.begin(&purchase.key, purchase.amount);
                let attempt = reservation.attempt();
                purchase.pause(0).await;

                let reported = Reported::of(&running, "charge");
                let key = reservation.derive("charge").to_string();
                let charge = reservation.step("charge", async || {
                    reported.begun();
                    let charge = provider.charge(&key, purchase).await?;
                    reported.done(&charge);
                    purchase.pause(1).await;
                    Ok::<_, Unfinished>(charge)
                });
                let charge = charge.await?;
                reported.ended(&charge);
                purchase.trouble(attempt, 1)?;

                let reported = Reported::of(&running, "debit");
                let debit = reservation.transaction("debit", async |tx: &mut Tx<$db>| {
                    reported.begun();
                    let row: i64 = sqlx::query_scalar("INSERT INTO debits (key, amount) VALUES ($1, $2) RETURNING id")
                        .bind(&purchase.key)
                        .bind(purchase.amount)
                        .fetch_one(&mut **tx)
                        .await?;
                    purchase.pause(2).await;
                    // In another table, which only one commit keeps in step with the first.
                    sqlx::query("UPDATE accounts SET balance = balance - $1 WHERE id = $2")
                        .bind(purchase.amount)
                        .bind(row % cratestack_tests::fleet::ACCOUNTS)
                        .execute(&mut **tx)
                        .await?;
                    reported.done(&row);
                    if purchase.declined { Err(Unfinished::Declined) } else { Ok(row) }
                });
                let debit = debit.await?;
                reported.ended(&debit);
                purchase.trouble(attempt, 2)?;

                let reported = Reported::of(&running, "ship");
                let ship = reservation.step("ship", async || {
                    reported.begun();
                    // The line that tells of it is the shipment.
                    let shipment = format!("{}-{attempt}", running.name());
                    reported.done(&shipment);
                    purchase.pause(3).await;
                    Ok::<_, Unfinished>(shipment)
                });
                let shipment = ship.await?;
                reported.ended(&shipment);
                purchase.trouble(attempt, 3)?;

                purchase.pause(4).await;
                Ok(Bought { charge, debit, shipment })
            }

            #[idempotent]
            async fn purchase(
                reservation: Reservation<$db>,
                State(shop): State<Shop>,
                Json(purchase): Json<Purchase>,
            ) -> Result<Bought, Unfinished> {
                buy(reservation, shop, &purchase).await
            }

            #[idempotent(wait = "5s")]
            async fn purchase_in_turn(
                reservation: Reservation<$db>,
                State(shop): State<Shop>,
                Json(purchase): Json<Purchase>,
            ) -> Result<Bought, Unfinished> {
                buy(reservation, shop, &purchase).await
            }
        }
    };
}

purchases!(postgres, sqlx::Postgres, cratestack_runtime::PostgresStore);
purchases!(sqlite, sqlx::Sqlite, cratestack_runtime::SqliteStore);
