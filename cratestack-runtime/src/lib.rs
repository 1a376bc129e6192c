//! Idempotency for axum: `#[idempotent]` on a handler makes a retried request safe.
//!
//! A client that did not hear an answer sends its request again. With `#[idempotent]` the first request that carries an
//! `Idempotency-Key` runs the handler and its outcome is kept; every later one gets that outcome back, byte for byte
//! but for headers that carry a session's secret ([`Idempotency::omit_header`]); two at the same time never both run;
//! the same key with another request is refused.
//!
//! ```
//! use axum::extract::{FromRef, Json, State};
//! use axum::{Router, http::StatusCode, routing::post};
//! use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
//! use serde_json::{Value, json};
//!
//! #[derive(Clone)]
//! struct App {
//!     idempotency: Idempotency,
//! }
//!
//! impl FromRef<App> for Idempotency {
//!     fn from_ref(app: &App) -> Self {
//!         app.idempotency.clone()
//!     }
//! }
//!
//! #[idempotent(ttl = "24h", lease = "30s")]
//! async fn create_payment(State(app): State<App>, Json(payment): Json<Value>) -> (StatusCode, Json<Value>) {
//!     # let _ = app;
//!     (StatusCode::CREATED, Json(json!({ "paid": payment["amount"] })))
//! }
//!
//! let app: Router = Router::new()
//!     .route("/payments", post(create_payment))
//!     .with_state(App { idempotency: Idempotency::new(MemoryStore::new()) });
//! ```
//!
//! # Where things are
//!
//! - [`idempotent`]: the attribute; [`Idempotency`]: the handle that it finds in the router's state.
//! - [`MemoryStore`] (one process, tests), `SqliteStore` and `PostgresStore`: where reservations and outcomes live. The
//!   SQL stores create their table with `migrate()`, when asked to; [`schema`] has the table's name and statements.
//! - [`Reservation`]: what a handler runs under, for calls of its own that are to be idempotent as well. With `Tx` and
//!   `#[idempotent(transaction)]`, what the handler writes and its recorded outcome are one commit.
//! - [`Event`]: what happens to guarded requests, for metrics.
//! - [`IdempotencyStore`]: the contract, for a store of your own; `testing` has a conformance suite for it.
//!
//! # Features
//!
//! | feature | on by default | what it brings |
//! |---|---|---|
//! | `axum` | yes | the door for axum's handlers, and [`hash_request`], [`encode_headers`], [`decode_headers`], [`Unrecorded`] |
//! | `macros` | yes | the attribute `#[idempotent]`; with it comes `axum` |
//! | `postgres` | yes | `PostgresStore`, and transactions in Postgres |
//! | `sqlite` | | `SqliteStore`, and transactions in SQLite |
//! | `testing` | | the conformance suite |
//!
//! Without any of them there are the handle, the engine and the memory store.
//!
//! # What is promised
//!
//! For one principal and key, a handler runs at most once per reservation, a recorded outcome is never lost or altered,
//! and no caller sees another's. Where a process dies between the effect and its record, a retry runs the handler again
//! once the lease has ended. The same happens where a process stalls, or an outcome or a renewal waits for the store,
//! for longer than the lease. In a transaction there is nothing between the two.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
#[cfg_attr(
    not(all(feature = "axum", any(feature = "postgres", feature = "sqlite"))),
    allow(
        dead_code,
        unused_imports,
        reason = "without a door, or a store with transactions, parts of the protocol rest"
    )
)]
mod engine;
#[cfg_attr(
    not(feature = "axum"),
    expect(dead_code, unused_imports, reason = "what a handle gives to doors rests without one")
)]
mod handle;
#[cfg(feature = "axum")]
mod http;
pub mod records;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub mod schema;
mod store;
mod stores;
#[cfg(feature = "testing")]
pub mod testing;
mod util;

pub use async_trait::async_trait;
#[cfg(feature = "macros")]
pub use cratestack_macros::idempotent;
pub use engine::Sweeper;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use handle::Tx;
pub use handle::{
    Event, EventKind, Idempotency, KeyPart, NamespaceError, OnStoreError, PartHasher, Presence, Reservation,
};
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
pub use http::TransactionalDatabase;
#[cfg(feature = "axum")]
pub use http::{Unrecorded, decode_headers, encode_headers, hash_request};
pub use store::{
    Claim, ClaimOutcome, ClockSample, Completion, CoolError, IdempotencyRecord, IdempotencyStore, LeaseState,
    MAX_BODY_BYTES, RecordedStep, ReservationOutcome, StepRecord, StoreError, TransactionalStore, Watch,
};
pub use stores::MemoryStore;
#[cfg(feature = "postgres")]
pub use stores::PostgresStore;
#[cfg(feature = "sqlite")]
pub use stores::SqliteStore;

// Generated code names this crate from outside; its own examples do so too.
extern crate self as cratestack_runtime;

/// The README's examples compile.
#[cfg(all(doctest, feature = "macros", feature = "postgres", feature = "sqlite"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So do those of the crate's own.
#[cfg(all(doctest, feature = "macros"))]
#[doc = include_str!("../README.md")]
struct CrateReadme;
