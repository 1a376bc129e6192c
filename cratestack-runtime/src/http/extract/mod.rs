//! The axum extractors that the generated code takes.

mod guarded;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transacted;

pub use guarded::{Guarded, Via};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use transacted::{TakesTx, Transacted, ViaTx};
