//! What the bank is told to do, and what it answers.

use std::{
    fmt, process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    http::{HeaderName, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

/// The body of a request. The times are in milliseconds; they are part of the request, so that a retry is the same one.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Order {
    /// The same as the idempotency key, for the books.
    pub(crate) key: String,
    pub(crate) amount: i64,
    #[serde(default)]
    pub(crate) source: i64,
    #[serde(default)]
    pub(crate) target: i64,
    /// Before the first statement.
    before: u64,
    /// In a statement, where the database has one that takes its time.
    pub(crate) within: u64,
    /// After the last statement.
    after: u64,
    /// The bank thinks better of it once everything is written.
    declined: bool,
}

impl Order {
    pub(crate) async fn hesitate(&self) {
        pause(self.before).await;
    }

    pub(crate) async fn linger(&self) {
        pause(self.after).await;
    }

    pub(crate) async fn conclude(&self, row: i64) -> Result<Receipt, Failed> {
        self.linger().await;
        if self.declined { Err(Failed::Declined) } else { Ok(Receipt { row, amount: self.amount }) }
    }
}

async fn pause(milliseconds: u64) {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

/// The row that was written. No two runs answer the same: each answer tells its run.
pub(crate) struct Receipt {
    row: i64,
    amount: i64,
}

impl IntoResponse for Receipt {
    fn into_response(self) -> Response {
        let Self { row, amount } = self;
        let body = Json(json!({"row": row, "amount": amount}));
        (StatusCode::CREATED, [run(), (LOCATION, format!("/rows/{row}"))], body).into_response()
    }
}

/// What was done elsewhere, by which run.
pub(crate) struct Charged {
    pub(crate) run: String,
    pub(crate) amount: i64,
}

impl IntoResponse for Charged {
    fn into_response(self) -> Response {
        let Self { run, amount } = self;
        let body = Json(json!({"run": run, "amount": amount}));
        (StatusCode::CREATED, [(HeaderName::from_static("x-run"), run)], body).into_response()
    }
}

/// Why nothing was written.
#[derive(Debug)]
pub(crate) enum Failed {
    Declined,
    Database(sqlx::Error),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined => f.write_str("declined"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Declined => None,
            Self::Database(error) => Some(error),
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
        let status = match self {
            Self::Declined => StatusCode::PAYMENT_REQUIRED,
            Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, [run()], self.to_string()).into_response()
    }
}

/// What only a handler's own answer has.
pub(crate) fn run() -> (HeaderName, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let run = format!("{}-{nanos}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    (HeaderName::from_static("x-run"), run)
}
