#![deny(warnings)]

use axum::Form;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{FormRejection, JsonRejection};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn json(_: Json<u64>) {}

#[idempotent]
async fn maybe_json(_: Option<Json<u64>>) {}

#[idempotent]
async fn tried_json(_: Result<Json<u64>, JsonRejection>) {}

#[idempotent]
async fn form(_: Form<u64>) {}

#[idempotent]
async fn tried_form(_: Result<Form<u64>, FormRejection>) {}

#[idempotent]
async fn text(_: String) {}

#[idempotent]
async fn bytes(_: Bytes) {}

#[idempotent]
async fn body(_: Body) {}

fn main() {
    let _: Router<Idempotency> = Router::new()
        .route("/0", post(json))
        .route("/1", post(maybe_json))
        .route("/2", post(tried_json))
        .route("/3", post(form))
        .route("/4", post(tried_form))
        .route("/5", post(text))
        .route("/6", post(bytes))
        .route("/7", post(body));
}
