#![deny(warnings)]
//! Every body extractor that axum has by default, last.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::Method;
use axum::{Form, Json};
use serde_json::Value;
#[idempotent]
async fn a(_: String) {}
#[idempotent]
async fn b(_: Bytes) {}
#[idempotent]
async fn c(_: Json<Value>) {}
#[idempotent]
async fn d(_: Form<Value>) {}
#[idempotent]
async fn e(_: Request) {}
#[idempotent]
async fn f(_: Method, _: Body) {}

fn main() {
    let _: Router = Router::new().route("/0", post(a)).route("/1", post(b)).route("/2", post(c)).route("/3", post(d)).route("/4", post(e)).route("/5", post(f)).with_state(Idempotency::new(MemoryStore::new()));
}
