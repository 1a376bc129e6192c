use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
const PAY: u8 = 1;

fn main() {}
