use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, idempotent};

struct Pay;

#[idempotent]
impl Pay {}

fn main() {}
