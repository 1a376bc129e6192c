use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
mod pay {}

fn main() {}
