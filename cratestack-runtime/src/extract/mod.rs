//! The axum extractors: what the generated code takes, and what users name in their handlers.

mod guarded;
mod reservation;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transacted;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod tx;

pub use guarded::{Guarded, Via};
pub use reservation::Reservation;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use transacted::{TakesTx, Transacted, ViaTx};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use tx::{TransactionalDatabase, Tx};
