//! The store on Valkey and Redis: the conformance suite on each kind of server, and what only a real server can show.

// A test panics where its expectation fails, and a handler is `async` whether or not it awaits.
#![allow(clippy::unused_async, clippy::unwrap_used)]

mod check;
mod conformance;
mod damage;
mod hangups;
mod outage;
mod records;
mod rights;
mod routing;
mod service;
mod sessions;
mod waiting;
