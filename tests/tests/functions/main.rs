//! `#[idempotent(name = "…")]` on functions that are no handlers: each call of a key runs once, and what ran is told again.

#![allow(clippy::unused_async, clippy::unwrap_used)]

mod keys;
mod shop;
