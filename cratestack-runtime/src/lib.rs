//! Idempotency for axum.

mod engine;
mod extract;
mod http;
pub mod store;
mod stores;
#[cfg(feature = "testing")]
pub mod testing;

pub use async_trait::async_trait;
pub use store::{
    Claim, ClaimOutcome, Completion, CoolError, IdempotencyRecord, IdempotencyStore, MAX_BODY_BYTES,
    ReservationOutcome, StoreError, Tenure,
};
pub use stores::MemoryStore;

// Generated code names this crate from outside; its own examples do so too.
extern crate self as cratestack_runtime;
