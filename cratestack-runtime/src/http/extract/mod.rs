//! The axum extractors: `guarded`, `guarded_over` and `transacted` are what generated code takes around a handler's
//! arguments; the second has a `Reservation` of a database among them, the third the `Tx`. `reservation` is the
//! `Reservation`. `aide` documents them.

#[cfg(feature = "aide")]
mod aide;
mod arguments;
mod awaiting_handle;
mod guarded;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod guarded_over;
mod leading;
mod reservation;
mod state;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transacted;

pub use awaiting_handle::{AwaitingHandle, PreparedRun};
pub use guarded::{Guarded, Via};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use guarded_over::{GuardedOver, ViaOver};
pub use state::{LeasedHandler, ProvidesHandle};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use state::{ProvidesTransactions, TransactionalHandler};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use transacted::{TakesTx, Transacted, TransactionalDatabase, ViaTx};
