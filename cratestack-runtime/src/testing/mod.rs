//! For tests: of one's own service, and of a store of one's own.
//!
//! # A service
//!
//! [`Service`] runs one's own router without a socket, in a process that can crash. Sent twice, one effect; crashed, and
//! taken over once the lease is over:
//!
//! ```
//! # #[cfg(feature = "macros")]
//! # mod tests {
//! use axum::{Router, routing::post};
//! use cratestack_runtime::{Idempotency, MemoryStore, idempotent, testing};
//!
//! #[idempotent]
//! async fn pay(amount: String) -> String {
//!     format!("paid {amount}")
//! }
//!
//! fn app(idempotency: Idempotency) -> Router {
//!     Router::new().route("/payments", post(pay)).with_state(idempotency)
//! }
//!
//! # /*
//! #[tokio::test]
//! # */
//! # pub
//! async fn a_retry_is_replayed() {
//!     let service = testing::Service::new(MemoryStore::new(), app);
//!     let [first, _] = service.post("/payments").key("k1").body("5").twice().await;
//!     assert_eq!(first.text(), "paid 5");
//! }
//!
//! # /*
//! #[tokio::test]
//! # */
//! # pub
//! async fn a_crash_is_made_good() {
//!     let service = testing::Service::new(MemoryStore::new(), app);
//!     let payment = service.post("/payments").key("k1").body("5");
//!     payment.crash_before_recording().await;
//!     service.lease_is_over().await;
//!     assert_eq!(payment.send().await.status(), 200);
//! }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! #     tests::a_retry_is_replayed().await;
//! #     tests::a_crash_is_made_good().await;
//! # }
//! ```
//!
//! # A store
//!
//! [`conformance`] says whether a store keeps what [`IdempotencyStore`](crate::IdempotencyStore) promises. Three lines
//! in a store's own tests run all of it:
//!
//! ```
//! use cratestack_runtime::{MemoryStore, testing};
//!
//! # #[tokio::main]
//! # async fn main() {
//! testing::conformance(|| async { MemoryStore::new() }).await.assert();
//! # }
//! ```
//!
//! Every check makes principals of its own, so the suite can run over a database that others use at the same time. What
//! it leaves behind expires within ten minutes, but for three rows whose retention is measured in years; nothing it
//! does deletes a row that is live.
//!
//! A store with only the three required methods passes what applies to it: a store whose
//! [`renew`](crate::IdempotencyStore::renew) answers [`LeaseState::Unknown`](crate::LeaseState::Unknown) has no lease,
//! and the checks about leases are [skipped](Verdict::Skipped), not passed. So are those about
//! [`show`](crate::IdempotencyStore::show) and the other methods for operators where a store has none.
//!
//! No check fails because a machine is busy. Where a promise is about time, the check measures how long it took itself;
//! if that was too long to tell, it starts over with twice the time. Only a store that is too slow for
//! [`Conformance::unit`] after several such rounds fails, and says so.

#[cfg(feature = "axum")]
mod answer;
#[cfg(feature = "axum")]
mod crash;
#[cfg(feature = "axum")]
mod host;
#[cfg(feature = "axum")]
mod process;
#[cfg(feature = "axum")]
mod request;
#[cfg(feature = "axum")]
mod service;
#[cfg(feature = "axum")]
mod test_store;

#[cfg(feature = "axum")]
pub use answer::Answer;
#[cfg(feature = "axum")]
pub use crash::Crash;
#[cfg(feature = "axum")]
pub use request::Request;
#[cfg(feature = "axum")]
pub use service::Service;
#[cfg(feature = "axum")]
pub use test_store::TestStore;

pub use crate::conformance::{Check, Conformance, Report, Verdict, conformance, reference};
