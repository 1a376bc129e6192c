//! What the tests across the crates stand on: a real Postgres that they bring themselves, the example service as a real
//! process, and a client that can misbehave.
//!
//! Nothing here skips. Where something is missing on the machine, the test fails and says what to run.

pub mod client;
pub mod postgres;
pub mod service;

pub use client::{Answer, Client};
pub use postgres::{PostgresServer, TestDatabase};
pub use service::{Service, Settings};
