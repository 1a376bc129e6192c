//! The store contract: what a place that keeps reservations and outcomes promises.
//!
//! [`IdempotencyStore`] is the trait, and everything else here is what goes in and comes out of it. Nothing in this
//! module does I/O; the stores that do are [`MemoryStore`](crate::MemoryStore), `SqliteStore` and `PostgresStore`.
//!
//! ```
//! use std::time::Duration;
//! use cratestack_runtime::{Claim, ClaimOutcome, IdempotencyStore, MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), cratestack_runtime::StoreError> {
//! let store = MemoryStore::new();
//! let claim = Claim {
//!     principal: "alice",
//!     key: "8e03978e",
//!     request_hash: [7; 32],
//!     lease: Duration::from_secs(30),
//!     retention: Duration::from_secs(24 * 60 * 60),
//! };
//! assert!(matches!(store.reserve(claim).await?, ClaimOutcome::Reserved { attempt: 1, .. }));
//! assert!(matches!(store.reserve(claim).await?, ClaimOutcome::InFlight));
//! # Ok(())
//! # }
//! ```

mod at_once;
mod claim;
mod contract;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod database;
mod error;
mod outcome;
mod record;
mod record_id;
mod records;
mod shared;
mod steps;
mod transaction;
mod watch;

pub(crate) use at_once::AtOnce;
pub use claim::{Claim, Completion};
pub use contract::IdempotencyStore;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use database::StoreDatabase;
pub use error::{CoolError, StoreError};
pub use outcome::{ClaimOutcome, LeaseState, ReservationOutcome};
pub use record::IdempotencyRecord;
pub(crate) use record_id::{ByOwnHash, HashedId, Identified, RecordId, RecordIdRef};
pub use records::{IfRunning, RecordInfo, RecordQuery, RecordState, Removal, RemovalOutcome, RemovedAll, Within};
pub use steps::{RecordedStep, StepRecord};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use steps::{decode_steps, encode_step};
pub use transaction::TransactionalStore;
pub(crate) use transaction::{Begun, CommitError, Ending, Isolation, Transact};
pub use watch::{ClockSample, Watch};

/// The default bound on what is buffered, in bytes (2 MiB): of a request to fingerprint it, of a response to record it.
///
/// ```
/// assert_eq!(cratestack_runtime::MAX_BODY_BYTES, 2 * 1024 * 1024);
/// ```
pub const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
