//! The HTTP doors: `#[idempotent]` on an axum handler, and a layer around services that are not annotated.
//!
//! By what a request meets: its extractors (`extract`), or the `layer`, begin with the guard (`guard`), which takes from `identity` what
//! the request is known by, and from `response` how an outcome is recorded and answered. `settings` is what a handle
//! says to this door alone, `work` the handler as all of them see it.
//!
//! Each imports only what stands before it: `work`, `identity`, `response`, `second_guard` (what is logged where there
//! are two), `settings`, `crash_point` (for tests of services), `guard`, `extract` and `layer`.

#[cfg(feature = "testing")]
mod crash_point;
mod extract;
mod guard;
mod identity;
mod layer;
mod response;
mod second_guard;
mod settings;
mod work;

#[cfg(feature = "testing")]
pub(crate) use crash_point::CrashPoint;
pub use extract::{AwaitingHandle, Guarded, LeasedHandler, PreparedRun, ProvidesHandle, Via};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use extract::{
    GuardedOver, ProvidesTransactions, TakesTx, Transacted, TransactionalDatabase, TransactionalHandler, ViaOver, ViaTx,
};
pub use guard::{GuardedRequest, GuardedResponse};
pub use identity::hash_request;
pub use layer::{IdempotencyLayer, IdempotencyService};
pub use response::{Problem, Unrecorded, decode_headers, encode_headers};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use work::Attempts;
pub use work::Work;
