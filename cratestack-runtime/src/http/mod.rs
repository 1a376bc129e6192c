//! The HTTP door: `#[idempotent]` on an axum handler.
//!
//! By what a request meets: its extractors (`extract`) begin with the guard (`guard`), which takes from `identity` what
//! the request is known by, and from `response` how an outcome is recorded and answered. `settings` is what a handle
//! says to this door alone, `work` the handler as all of them see it.
//!
//! Each imports only what stands before it: `work`, `identity`, `response`, `settings`, `crash_point` (for tests of
//! services), `guard`, `extract`.

#[cfg(feature = "testing")]
mod crash_point;
mod extract;
mod guard;
mod identity;
mod response;
mod settings;
mod work;

#[cfg(feature = "testing")]
pub(crate) use crash_point::CrashPoint;
pub use extract::{AwaitingHandle, Guarded, LeasedHandler, PreparedRun, ProvidesHandle, Via};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use extract::{ProvidesTransactions, TakesTx, Transacted, TransactionalDatabase, TransactionalHandler, ViaTx};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use guard::FailureCause;
pub use guard::GuardedRequest;
pub use identity::hash_request;
pub use response::{Problem, Unrecorded, decode_headers, encode_headers};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use work::Attempts;
pub use work::Work;
