#![deny(warnings)]

use axum::{Json, Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

const STRIPE: &str = "stripe";
static ADYEN: &str = "adyen";

mod providers {
    pub const PAYPAL: (&str, u32) = ("paypal", 2);
}

struct Provider;

impl Provider {
    const NAME: &'static str = "provider";

    #[idempotent(key = event.id, principal = Self::NAME)]
    async fn webhook(Json(event): Json<Event>) -> String {
        event.id
    }
}

#[derive(serde::Deserialize)]
struct Event {
    id: String,
    account: String,
}

#[idempotent(key = event.id, principal = "stripe")]
async fn literal(Json(event): Json<Event>) -> String {
    event.id
}

#[idempotent(key = event.id, principal = "stripe.com")]
async fn literal_with_a_dot(Json(event): Json<Event>) -> String {
    event.id
}

#[idempotent(key = event.id, principal = STRIPE)]
async fn constant(Json(event): Json<Event>) -> String {
    event.id
}

#[idempotent(key = event.id, principal = ADYEN)]
async fn of_static(Json(event): Json<Event>) -> String {
    event.id
}

#[idempotent(key = event.id, principal = providers::PAYPAL)]
async fn path(Json(event): Json<Event>) -> String {
    event.id
}

#[idempotent(key = event.id, principal = ("stripe", event.account))]
async fn in_a_tuple(Json(event): Json<Event>) -> String {
    event.id
}

#[idempotent(principal = "the only client")]
async fn of_a_header() {}

fn main() {
    let _: Router<Idempotency> = Router::new()
        .route("/0", post(literal))
        .route("/1", post(constant))
        .route("/2", post(of_static))
        .route("/3", post(path))
        .route("/4", post(in_a_tuple))
        .route("/5", post(of_a_header))
        .route("/6", post(Provider::webhook))
        .route("/7", post(literal_with_a_dot));
}
