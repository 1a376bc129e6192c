//! The figures, one module each.

mod replay;
mod requests;
mod store;

pub use replay::replay;
pub use requests::{guard, requests};
pub use store::store;
