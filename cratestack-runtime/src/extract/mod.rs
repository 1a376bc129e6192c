//! The axum extractors: what the generated code takes, and what users name in their handlers.

mod guarded;
mod reservation;

pub use guarded::{Guarded, Via};
pub use reservation::Reservation;
