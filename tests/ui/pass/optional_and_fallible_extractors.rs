#![deny(warnings)]
//! `Option` and `Result` of extractors.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query};
use serde_json::Value;
#[idempotent]
async fn a(_: Option<Json<Value>>) {}
#[idempotent]
async fn b(_: Result<Json<Value>, JsonRejection>) {}
#[idempotent]
async fn c(_: Option<Path<u32>>, _: Result<Query<Vec<(String, String)>>, QueryRejection>) {}

fn main() {
    let _: Router = Router::new().route("/0", post(a)).route("/1", post(b)).route("/2", post(c)).with_state(Idempotency::new(MemoryStore::new()));
}
