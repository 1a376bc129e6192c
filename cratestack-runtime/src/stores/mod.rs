//! The stores: each implements the contract of [`store`](crate::store), each behind a feature.

mod memory;

pub use memory::MemoryStore;
