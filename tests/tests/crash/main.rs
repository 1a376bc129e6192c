//! What becomes of requests whose service, or whose database, is killed at any moment.
//!
//! `rounds` is the harness: bursts of requests, a kill at random, retries until every request has its answer, and then
//! the books against every answer that a client ever saw. `ROUNDS` and `SEED` in the environment set how many and
//! which. `steps` is the same for runs that are made of steps. `commit` and `statement` hold what chance would not hit.

#![allow(clippy::unwrap_used)]

mod check;
mod commit;
mod plan;
mod report;
mod rounds;
mod standby;
mod statement;
mod steps;

const BANK: &str = env!("CARGO_BIN_EXE_bank");
