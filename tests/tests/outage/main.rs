//! What becomes of requests whose database, or the way to it, is away for a while: longer than a lease, or hardly at
//! all.
//!
//! `rounds` is the harness: bursts of requests, an outage at random, retries until every request has its answer, and
//! then the runs of each key and every answer that a client ever saw against what `docs/guarantees.md` says. `ROUNDS`
//! and `SEED` in the environment set how many and which. The other modules hold one fault each, where chance would
//! seldom hit it.

#![allow(clippy::unwrap_used)]

mod check;
mod clients;
mod lost;
mod plan;
mod report;
mod rounds;
mod setup;
mod slow;
mod waiting;

const BANK: &str = env!("CARGO_BIN_EXE_bank");
