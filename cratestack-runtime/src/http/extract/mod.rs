//! The axum extractors: `guarded` and `transacted` are what generated code takes, `reservation` and `tx` what users
//! name in their handlers.

mod guarded;
mod reservation;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transacted;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transactional_database;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod tx;

pub use guarded::{Guarded, Via};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use transacted::{TakesTx, Transacted, ViaTx};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use transactional_database::TransactionalDatabase;
