//! What `cratestack_runtime::testing` says of a service is what would happen to it.

// A test panics where its expectation fails.
#![allow(clippy::unwrap_used)]

mod crashes;
mod misuse;
mod page;
mod transactions;
mod world;
