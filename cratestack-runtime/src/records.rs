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
pub use crate::store::{IfRunning, RecordInfo, RecordQuery, RecordState, Removal, RemovalOutcome, RemovedAll, Within};
