//! Guarded handlers beside what services use around them, one test for what a user would expect of each. What they show
//! is the table of docs/around.md.

// A test panics where its expectation fails.
#![allow(clippy::unwrap_used)]

mod callers;
mod extractors;
mod graphql;
mod http2;
mod in_the_wild;
mod json_rpc;
mod layers;
mod openapi;
mod page;
mod server;
