//! The axum extractors: `guarded` and `transacted` are what generated code takes around a handler's arguments; the
//! latter has the `Tx` among them, `reservation` the `Reservation`. `aide` documents them.

#[cfg(feature = "aide")]
mod aide;
mod arguments;
mod awaiting_handle;
mod guarded;
mod leading;
mod reservation;
mod state;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transacted;

pub use awaiting_handle::{AwaitingHandle, PreparedRun};
pub use guarded::{Guarded, Via};
pub use state::{LeasedHandler, ProvidesHandle};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use state::{ProvidesTransactions, TransactionalHandler};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use transacted::{TakesTx, Transacted, TransactionalDatabase, ViaTx};
