//! The stores over real databases: the conformance suite over each, and what only a real server can show.

// A test panics where its expectation fails, and a handler is `async` whether or not it awaits.
#![allow(clippy::unused_async, clippy::unwrap_used)]

mod batches;
mod conformance;
mod connections;
mod damage;
mod databases;
mod hangups;
mod large_outcomes;
mod load;
mod operator;
mod replay_cache;
mod strangers;
mod sweep;
mod times;
mod waiting;
