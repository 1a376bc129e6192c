//! The HTTP table of the design, line by line, over the memory store, mostly without sockets, so that a line is one call;
//! what clients are answered, over a real server.

// A test panics where its expectation fails, and a handler is `async` whether or not it awaits.
#![allow(clippy::unused_async, clippy::unwrap_used)]

mod app;
mod bodies;
mod failing_store;
mod faults;
mod handler_shapes;
mod handles;
mod headers;
mod identity;
mod intake;
mod keys;
mod life;
mod limits;
mod logs;
mod marks;
mod outages;
mod page;
mod partial_failures;
mod problems;
mod recorded;
mod semantics;
mod server;
mod states;
mod table;
