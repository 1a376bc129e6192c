//! What the tests across the crates stand on: a real Postgres that they bring themselves, the example service as a real
//! process, a client that can misbehave, and a real browser.
//!
//! Nothing here skips. Where something is missing on the machine, the test fails and says what to run.

pub mod browser;
pub mod client;
mod packages;
pub mod postgres;
pub mod service;

pub use browser::{Browser, Page};
pub use client::{Answer, Client};
pub use postgres::{PostgresServer, TestDatabase};
pub use service::{Service, Settings};
