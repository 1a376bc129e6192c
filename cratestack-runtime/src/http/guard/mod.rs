//! Drives the engine: from a request to a claim, and from what became of it to a response.

mod run;
mod transaction;

pub(crate) use run::Intake;
pub use run::{Call, Work};
pub use transaction::Attempts;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use transaction::{Cause, InStore};
