//! A service that writes payments in transactions, over either database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cratestack_runtime::{EventKind, TransactionalStore};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use serde::Deserialize;
use sqlx::{Database, Pool};
use tokio::sync::Notify;
use tower::ServiceExt;

/// What a handler is told to do besides its payment.
#[derive(Clone, Deserialize)]
pub struct Trouble {
    /// Waits at the gate after it has written.
    #[serde(default)]
    pub hold: bool,
    /// The first run panics.
    #[serde(default)]
    pub panic: bool,
    pub fail: Option<u16>,
    /// `fail` is for the first run only.
    #[serde(default)]
    pub once: bool,
}

/// An error that says where it comes from, as those of `thiserror` do.
#[derive(Debug)]
pub enum Failed {
    Asked(StatusCode),
    Database(sqlx::Error),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::Asked(_) => None,
        }
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Asked(status) => (status, "failed as asked").into_response(),
            Self::Database(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

/// What the handlers share with their test.
#[derive(Clone, Default)]
pub struct Signs {
    /// How often a handler was started.
    pub runs: Arc<AtomicUsize>,
    pub gate: Arc<Notify>,
    pub waiting: Arc<Notify>,
    pub outcomes: Arc<std::sync::Mutex<Vec<EventKind>>>,
}

impl Signs {
    pub fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    pub async fn trouble(&self, trouble: &Trouble) -> Result<(), Failed> {
        let first = self.runs() == 1;
        if trouble.hold {
            self.waiting.notify_one();
            self.gate.notified().await;
        }
        assert!(!(trouble.panic && first), "told to panic");
        match trouble.fail.filter(|_| first || !trouble.once) {
            Some(status) => Err(Failed::Asked(StatusCode::from_u16(status).unwrap())),
            None => Ok(()),
        }
    }

    pub fn outcomes(&self) -> Vec<&'static str> {
        self.outcomes.lock().unwrap().iter().map(|outcome| outcome.as_str()).collect()
    }
}

/// One process of a fleet.
pub struct Bank<S: TransactionalStore, DB: Database> {
    pub pool: Pool<DB>,
    pub store: S,
    pub signs: Signs,
    pub router: Router,
    count: fn(Pool<DB>) -> BoxFuture<'static, i64>,
}

#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn is_replay(&self) -> bool {
        self.headers.contains_key("idempotency-replayed")
    }

    pub fn code(&self) -> String {
        self.problem()["code"].as_str().unwrap().to_owned()
    }

    /// Whether the problem says that it may be sent again, and after how many seconds.
    pub fn retry(&self) -> (bool, Option<&str>) {
        let after = self.headers.get("retry-after").map(|seconds| seconds.to_str().unwrap());
        (self.problem()["retryable"].as_bool().unwrap(), after)
    }

    fn problem(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The principal of who posts here, as it stands in the table.
pub const ALICE: &str = "9d7cce461e4b2f090a3d686b4ae72d25ea18e93573d2772bb52ff548e6262aa3";

pub async fn post(router: &Router, path: &str, key: Option<&str>, body: &str) -> Answer {
    let mut request = Request::post(path).header("authorization", "Bearer alice");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let response = router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

impl<S: TransactionalStore, DB: Database> Bank<S, DB> {
    /// How many payments are committed.
    pub async fn payments(&self) -> i64 {
        (self.count)(self.pool.clone()).await
    }

    pub async fn post(&self, path: &str, key: &str) -> Answer {
        post(&self.router, path, Some(key), "100").await
    }

    /// Starts a request, and returns once its handler has written and waits at the gate.
    pub async fn hold(&self, path: &str, key: &str) -> tokio::task::JoinHandle<Answer> {
        let (router, path, key) = (self.router.clone(), format!("{path}?hold=true"), key.to_owned());
        let running = tokio::spawn(async move { post(&router, &path, Some(&key), "100").await });
        self.signs.waiting.notified().await;
        running
    }
}

/// The same service over a database: the handlers name its type.
macro_rules! bank {
    ($name:ident: $database:ty, $store:ty, $ledger:literal) => {
        pub mod $name {
            use axum::Router;
            use axum::extract::{FromRef, Query, State};
            use axum::http::StatusCode;
            use axum::routing::post;
            use cratestack_runtime::{Idempotency, InTransaction, Reservation, Tx, Unrecorded, idempotent};
            use sqlx::{Connection, Pool};

            use super::{Bank, Failed, Signs, Trouble};

            #[derive(Clone, FromRef)]
            pub struct Teller {
                transactions: Idempotency<$store>,
                reservations: Idempotency,
                pub pool: Pool<$database>,
                pub signs: Signs,
            }

            type Paid = Result<(StatusCode, String), Failed>;

            pub async fn open(pool: Pool<$database>, store: $store) -> Bank<$store, $database> {
                sqlx::raw_sql($ledger).execute(&pool).await.unwrap();
                let signs = Signs::default();
                let outcomes = signs.outcomes.clone();
                let transactions = Idempotency::transactional(store.clone())
                    .on_event(move |event| outcomes.lock().unwrap().push(event.kind));
                let reservations = Idempotency::from(transactions.clone());
                let teller = Teller { transactions, reservations, pool: pool.clone(), signs: signs.clone() };
                let router = Router::new()
                    .route("/pay", post(pay).get(pay))
                    .route("/patient", post(patient))
                    .route("/keep", post(keep))
                    .route("/success", post(success))
                    .route("/all-but-5xx", post(all_but_5xx))
                    .route("/all-but-5xx/keep", post(all_but_5xx_keep))
                    .route("/unrecorded", post(unrecorded))
                    .route("/short", post(short))
                    .route("/optional", post(optional))
                    .route("/lent", post(lent))
                    .route("/ends", post(ends))
                    .route("/nested", post(nested))
                    .route("/untouched", post(untouched))
                    .route("/leaks", post(leaks))
                    .nest("/reserved", Router::new().route("/pay", post(reserved)))
                    .with_state(teller);
                Bank { pool, store, signs, router, count: |pool| Box::pin(payments(pool)) }
            }

            async fn payments(pool: Pool<$database>) -> i64 {
                sqlx::query_scalar("SELECT COUNT(*) FROM payments").fetch_one(&pool).await.unwrap()
            }

            async fn write(tx: &mut Tx<$database>, amount: &str) -> Result<(), Failed> {
                sqlx::query("INSERT INTO payments (amount) VALUES ($1)").bind(amount).execute(&mut **tx).await?;
                Ok(())
            }

            async fn paid(signs: &Signs, tx: &mut Tx<$database>, trouble: &Trouble, amount: &str) -> Paid {
                let run = signs.runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                write(tx, amount).await?;
                signs.trouble(trouble).await?;
                Ok((StatusCode::CREATED, format!("run {run}")))
            }

            #[idempotent(transaction)]
            async fn pay(
                State(signs): State<Signs>,
                mut tx: Tx<$database>,
                Query(trouble): Query<Trouble>,
                amount: String,
            ) -> Paid {
                paid(&signs, &mut tx, &trouble, &amount).await
            }

            #[idempotent(transaction, wait = "20s")]
            async fn patient(
                mut tx: Tx<$database>,
                State(signs): State<Signs>,
                Query(trouble): Query<Trouble>,
            ) -> Paid {
                paid(&signs, &mut tx, &trouble, "100").await
            }

            #[idempotent(transaction, commit = all)]
            async fn keep(State(signs): State<Signs>, Query(trouble): Query<Trouble>, mut tx: Tx<$database>) -> Paid {
                paid(&signs, &mut tx, &trouble, "100").await
            }

            #[idempotent(transaction, record = success)]
            async fn success(
                State(signs): State<Signs>,
                Query(trouble): Query<Trouble>,
                mut tx: Tx<$database>,
            ) -> Paid {
                paid(&signs, &mut tx, &trouble, "100").await
            }

            #[idempotent(transaction, record = all_but_5xx, wait = "20s")]
            async fn all_but_5xx(
                State(signs): State<Signs>,
                Query(trouble): Query<Trouble>,
                mut tx: Tx<$database>,
            ) -> Paid {
                paid(&signs, &mut tx, &trouble, "100").await
            }

            #[idempotent(transaction, record = all_but_5xx, commit = all, optional)]
            async fn all_but_5xx_keep(
                State(signs): State<Signs>,
                Query(trouble): Query<Trouble>,
                mut tx: Tx<$database>,
            ) -> Paid {
                paid(&signs, &mut tx, &trouble, "100").await
            }

            #[idempotent(transaction)]
            async fn unrecorded(State(signs): State<Signs>, mut tx: Tx<$database>) -> (Unrecorded, &'static str) {
                signs.runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                write(&mut tx, "100").await.unwrap();
                (Unrecorded, "nothing happened")
            }

            #[idempotent(transaction, lease = "300ms")]
            async fn short(State(signs): State<Signs>, Query(trouble): Query<Trouble>, mut tx: Tx<$database>) -> Paid {
                paid(&signs, &mut tx, &trouble, "100").await
            }

            #[idempotent(transaction, optional)]
            async fn optional(
                reservation: Option<Reservation<InTransaction>>,
                State(signs): State<Signs>,
                Query(trouble): Query<Trouble>,
                mut tx: Tx<$database>,
            ) -> Paid {
                if let Some(reservation) = reservation {
                    assert!(!reservation.token().is_nil());
                }
                paid(&signs, &mut tx, &trouble, "100").await
            }

            /// Gives its transaction to a task that outlives it.
            #[idempotent(transaction)]
            async fn lent(State(signs): State<Signs>, mut tx: Tx<$database>) -> Paid {
                write(&mut tx, "100").await?;
                let gate = signs.gate.clone();
                tokio::spawn(async move {
                    gate.notified().await;
                    drop(tx);
                });
                Ok((StatusCode::CREATED, "lent".to_owned()))
            }

            /// Ends the transaction by a statement, which no type can see.
            #[idempotent(transaction)]
            async fn ends(State(signs): State<Signs>, mut tx: Tx<$database>) -> Paid {
                let paid =
                    paid(&signs, &mut tx, &Trouble { hold: false, panic: false, fail: None, once: false }, "100").await;
                sqlx::raw_sql("COMMIT").execute(&mut *tx).await?;
                paid
            }

            /// Savepoints of its own: one payment stays, one does not.
            #[idempotent(transaction)]
            async fn nested(mut tx: Tx<$database>) -> Paid {
                let insert = "INSERT INTO payments (amount) VALUES ('nested')";
                let mut kept = tx.begin().await?;
                sqlx::query(insert).execute(&mut *kept).await?;
                kept.commit().await?;
                let mut undone = tx.begin().await?;
                sqlx::query(insert).execute(&mut *undone).await?;
                drop(undone);
                Ok((StatusCode::CREATED, "nested".to_owned()))
            }

            /// Never ends a transaction of its own within the one that it has.
            #[idempotent(transaction, optional)]
            async fn leaks(mut tx: Tx<$database>) -> Paid {
                let mut inner = tx.begin().await?;
                sqlx::query("INSERT INTO payments (amount) VALUES ('leaked')").execute(&mut *inner).await?;
                std::mem::forget(inner);
                Ok((StatusCode::CREATED, "leaked".to_owned()))
            }

            #[idempotent(transaction)]
            async fn untouched(_: Tx<$database>) -> &'static str {
                "nothing written"
            }

            /// The same request as `/pay`, in reservation mode.
            #[idempotent(fingerprint = amount)]
            async fn reserved(
                State(signs): State<Signs>,
                State(pool): State<Pool<$database>>,
                Query(trouble): Query<Trouble>,
                amount: String,
            ) -> Paid {
                let run = signs.runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                sqlx::query("INSERT INTO payments (amount) VALUES ($1)").bind(amount).execute(&pool).await?;
                signs.trouble(&trouble).await?;
                Ok((StatusCode::CREATED, format!("run {run}")))
            }
        }
    };
}

bank!(on_postgres: sqlx::Postgres, cratestack_runtime::PostgresStore,
    "CREATE TABLE IF NOT EXISTS payments (entry BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount TEXT NOT NULL)");
bank!(on_sqlite: sqlx::Sqlite, cratestack_runtime::SqliteStore,
    "CREATE TABLE IF NOT EXISTS payments (entry INTEGER PRIMARY KEY, amount TEXT NOT NULL)");

pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to be that {what}");
}
