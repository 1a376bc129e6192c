//! The stores that come with this crate.

mod memory;

pub use memory::MemoryStore;
