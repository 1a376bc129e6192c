use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
struct Pay;

fn main() {}
