//! The figures, one module each.

mod store;

pub use store::store;
