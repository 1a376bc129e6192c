//! The axum extractors: what the generated code takes, and what users name in their handlers.

mod guarded;

pub use guarded::{Guarded, Via};
