//! What one process knows of its keys: in whose hands they are, who waits for them, and the outcomes that it has seen.

pub(super) mod keys;
pub(super) mod replay_cache;
pub(super) mod single_flight;
mod watching;
