#![deny(warnings)]
#![no_implicit_prelude]
//! Generated code names nothing that a prelude would have to bring, nor what the user may have named.

use ::axum::Router;
use ::axum::routing::post;
use ::cratestack_runtime::{Idempotency, MemoryStore, idempotent};

#[allow(dead_code)]
struct Option;
#[allow(dead_code)]
struct Result;
#[allow(dead_code)]
struct Box;
#[allow(dead_code)]
struct String;
#[allow(dead_code)]
struct Response;

#[idempotent(key = body.len(), wait = "1s")]
async fn pay(body: ::axum::body::Bytes) -> ::axum::body::Bytes {
    body
}

fn main() {
    let _: Router = Router::new().route("/", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
