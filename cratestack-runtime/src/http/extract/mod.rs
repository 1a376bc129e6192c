//! The axum extractors: `guarded` and `transacted` are what generated code takes around a handler's arguments; the
//! latter has the `Tx` among them, `reservation` the `Reservation`. `aide` documents them.

#[cfg(feature = "aide")]
mod aide;
mod guarded;
mod reservation;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transacted;

pub use guarded::{Guarded, Via};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use transacted::{TakesTx, Transacted, TransactionalDatabase, ViaTx};
