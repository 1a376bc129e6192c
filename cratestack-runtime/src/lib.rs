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
//! - [`IdempotencyLayer`]: the same around a router, or any `tower::Service`, whose handlers have no attribute.
//! - [`MemoryStore`] (one process, tests), `SqliteStore`, `PostgresStore` and `RedisStore`: where reservations and outcomes
//!   live. The SQL stores create their table with `migrate()`, when asked to; [`schema`] has the table's name and
//!   statements. `RedisStore` promises less, and needs nothing beforehand.
//! - [`Reservation`]: what a handler runs under, for calls of its own that are to be idempotent as well. With `Tx` and
//!   `#[idempotent(transaction)]`, what the handler writes and its recorded outcome are one commit.
//! - [`Problem`]: what a client is told in a handler's place; [`Idempotency::problems`] gives it another shape.
//! - [`Event`]: what happens to guarded requests, for metrics.
//! - [`records`]: what an operator sees of them, and does about one.
//! - [`IdempotencyStore`]: the contract, for a store of your own; `testing` has a conformance suite for it.
//! - `testing`: your own service in a test, sent twice, crashed, past its lease.
//!
//! # Features
//!
//! | feature | on by default | what it brings |
//! |---|---|---|
//! | `axum` | yes | the doors for axum's handlers and for `tower::Service`s ([`IdempotencyLayer`]), and [`hash_request`], [`encode_headers`], [`decode_headers`], [`Problem`], [`Unrecorded`] |
//! | `macros` | yes | the attribute `#[idempotent]`: on axum's handlers with `axum`, on other functions without it too |
//! | `postgres` | yes | `PostgresStore`, and transactions in Postgres |
//! | `sqlite` | | `SqliteStore`, and transactions in SQLite |
//! | `redis` | | `RedisStore`, on a node of Valkey or Redis, behind Sentinel, or on a Cluster |
//! | `aide` | | guarded handlers in aide's `ApiRouter` |
//! | `testing` | | tests of one's own service, and the conformance suite |
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

#[cfg(any(feature = "axum", feature = "macros"))]
#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
#[cfg(feature = "testing")]
mod conformance;
#[cfg_attr(
    not(all(any(feature = "axum", feature = "macros"), any(feature = "postgres", feature = "sqlite"))),
    allow(
        dead_code,
        unused_imports,
        reason = "without a door, or a store with transactions, parts of the protocol rest"
    )
)]
mod engine;
#[cfg(feature = "macros")]
mod function;
#[cfg_attr(
    not(all(feature = "axum", feature = "macros")),
    allow(dead_code, unused_imports, reason = "parts of what a handle gives to doors rest without them")
)]
mod handle;
#[cfg(feature = "axum")]
mod http;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub mod schema;
mod store;
mod stores;
#[cfg(feature = "testing")]
pub mod testing;
mod util;

pub use async_trait::async_trait;
#[cfg(feature = "macros")]
pub use cratestack_macros::idempotent;
pub use engine::{StepError, Sweeper};
#[cfg(feature = "macros")]
pub use function::GuardError;
pub use handle::{
    Event, EventKind, Idempotency, KeyPart, NamespaceError, OnStoreError, PartHasher, Presence, Reservation,
};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use handle::{InTransaction, Tx};
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
pub use http::TransactionalDatabase;
#[cfg(feature = "axum")]
pub use http::{
    IdempotencyLayer, IdempotencyService, Problem, Unrecorded, decode_headers, encode_headers, hash_request,
};
pub use store::{
    Claim, ClaimOutcome, ClockSample, Completion, CoolError, IdempotencyRecord, IdempotencyStore, LeaseState,
    MAX_BODY_BYTES, RecordedStep, ReservationOutcome, StepRecord, StoreError, TransactionalStore, Watch,
};
pub use stores::MemoryStore;
#[cfg(feature = "postgres")]
pub use stores::PostgresStore;
#[cfg(feature = "redis")]
pub use stores::RedisStore;
#[cfg(feature = "sqlite")]
pub use stores::SqliteStore;

pub mod records {
    //! What an operator sees of records, and how one is removed: by [`Idempotency`](crate::Idempotency)'s methods `show`,
    //! `list`, `release`, `forget_record` and `forget_principal`, which the command `cratestack-schema` has too.
    //!
    //! ```
    //! use std::time::Duration;
    //! use cratestack_runtime::records::{IfRunning, Principal, RecordQuery};
    //! use cratestack_runtime::{Idempotency, MemoryStore};
    //!
    //! # #[tokio::main(flavor = "current_thread")]
    //! # async fn main() -> Result<(), cratestack_runtime::StoreError> {
    //! let idempotency = Idempotency::new(MemoryStore::new());
    //! for stuck in idempotency.list(&RecordQuery::new(100).lasting(Duration::from_secs(600))).await? {
    //!     println!("{} since {:?}", stuck.state.as_str(), stuck.created_at);
    //! }
    //! // All that is kept of the user whom handlers know by `principal = user.id`.
    //! let erased = idempotency.forget_principal(&Principal::part(&42_u64), IfRunning::Refuse).await?;
    //! assert_eq!(erased.removed, 0);
    //! # Ok(())
    //! # }
    //! ```

    pub use crate::handle::Principal;
    pub use crate::store::{
        IfRunning, RecordInfo, RecordQuery, RecordState, Removal, RemovalOutcome, RemovedAll, Within,
    };
}

// Generated code names this crate from outside; its own examples do so too.
extern crate self as cratestack_runtime;

/// The README's examples compile.
#[cfg(all(doctest, feature = "axum", feature = "macros", feature = "postgres", feature = "sqlite"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So do those of the pages.
#[cfg(all(doctest, feature = "axum", feature = "macros"))]
#[doc = include_str!("../../docs/attribute.md")]
struct AttributePage;

#[cfg(all(doctest, feature = "axum", feature = "macros", feature = "postgres"))]
#[doc = include_str!("../../docs/transactions.md")]
struct TransactionsPage;

#[cfg(all(doctest, feature = "macros", feature = "postgres"))]
#[doc = include_str!("../../docs/functions.md")]
struct FunctionsPage;

#[cfg(all(doctest, feature = "axum", feature = "macros", feature = "postgres"))]
#[doc = include_str!("../../docs/steps.md")]
struct StepsPage;

#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../docs/http.md")]
struct HttpPage;

#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../docs/layer.md")]
struct LayerPage;

#[cfg(all(doctest, feature = "axum", feature = "macros"))]
#[doc = include_str!("../../docs/around.md")]
struct AroundPage;

#[cfg(all(doctest, feature = "axum", feature = "macros"))]
#[doc = include_str!("../../docs/operations.md")]
struct OperationsPage;

#[cfg(all(doctest, feature = "axum", feature = "macros", feature = "postgres", feature = "sqlite"))]
#[doc = include_str!("../../docs/state.md")]
struct StatePage;

/// So do those of the crate's own.
#[cfg(all(doctest, feature = "axum", feature = "macros"))]
#[doc = include_str!("../README.md")]
struct CrateReadme;
