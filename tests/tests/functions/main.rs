//! `#[idempotent(name = "…")]` on functions that are no handlers: each call of a key runs once, and what ran is told again.

#![allow(clippy::unused_async, clippy::unwrap_used)]

mod dropped;
#[path = "../http/failing_store.rs"]
#[allow(dead_code)]
mod failing_store;
mod faults;
mod keys;
mod killed;
mod life;
mod nested;
mod recorded;
mod shapes;
mod shop;
mod transactions;

/// As the store that fails knows a service.
mod app {
    pub use crate::shop::Shop as App;
}
