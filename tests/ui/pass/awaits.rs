#![deny(warnings)]

use axum::extract::State;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};
use std::sync::Mutex;

static TOTAL: Mutex<u64> = Mutex::new(0);

#[idempotent]
async fn pay(State(handle): State<Idempotency>) -> String {
    let before = {
        let mut total = TOTAL.lock().unwrap();
        *total += 1;
        *total
    };
    std::future::ready(()).await;
    format!("{before} {handle:?}")
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
