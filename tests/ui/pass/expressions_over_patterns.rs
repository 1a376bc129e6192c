#![deny(warnings)]

use axum::Json;
use axum::extract::{FromRef, Path, Query, State};
use axum::http::Method;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    limit: &'static u64,
}

#[derive(serde::Deserialize)]
struct CreatePayment {
    id: String,
    amount: u64,
    lines: Vec<u32>,
}

#[idempotent(key = id, fingerprint = (amount, page, lines, payment))]
async fn pay(
    Path((id, _)): Path<(u64, u64)>,
    Query([page, ..]): Query<[u8; 2]>,
    _: Method,
    Json(CreatePayment { amount, ref lines, id: ref payment }): Json<CreatePayment>,
) -> String {
    format!("{id} {page} {amount} {payment} {}", lines.len())
}

#[idempotent(key = (id, first, third))]
async fn by_reference(
    Path(ref id): Path<String>,
    State(&first): State<&'static u64>,
    Query([mut second, ref third]): Query<[u64; 2]>,
) -> String {
    second += first;
    format!("{id} {first} {second} {third}")
}

fn main() {
    let _: Router<App> = Router::new().route("/0", post(pay)).route("/1", post(by_reference));
}
