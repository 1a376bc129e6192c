//! The examples do what they say, beside a real broker, a real database and real gRPC, and when they are killed.

// A test panics where its expectation fails.
#![allow(clippy::unwrap_used)]

mod grpc;
mod queue;
