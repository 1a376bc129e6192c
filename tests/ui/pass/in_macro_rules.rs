#![deny(warnings)]

use axum::Json;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(serde::Deserialize)]
struct CreatePayment {
    id: String,
    amount: u64,
    lines: Vec<u32>,
}

macro_rules! handler {
    ($name:ident, $argument:ident: $ty:ty, $key:expr, $ttl:literal) => {
        #[idempotent(key = $key, ttl = $ttl)]
        async fn $name(Json($argument): Json<$ty>) -> Json<u64> {
            Json($argument.amount + $argument.lines.len() as u64)
        }
    };
}

handler!(pay, request: CreatePayment, (&request.id, request.amount), "24h");

macro_rules! whole {
    ($name:ident) => {
        #[idempotent(key = body.len())]
        async fn $name(body: String) -> Result<String, String> {
            Ok(body)
        }
    };
}

whole!(refund);

macro_rules! wrapped {
    ($($item:item)*) => { $(#[idempotent] $item)* };
}

wrapped! {
    async fn cancel(body: String) -> Result<String, String> {
        Ok(body)
    }
}

macro_rules! in_groups {
    ($($vis:vis $name:ident ($argument:pat => $ty:ty) -> $returned:ty $body:block)*) => { $(
        #[idempotent]
        $vis async fn $name($argument: $ty) -> $returned $body
    )* };
}

in_groups! {
    pub(crate) ship(Json(body) => Json<u64>) -> Result<Json<u64>, String> {
        Ok(Json(body))
    }
    close(_ => String) -> () {}
}

fn main() {
    let _: Router<Idempotency> =
        Router::new().route("/0", post(pay)).route("/1", post(refund)).route("/2", post(cancel)).route("/3", post(ship)).route("/4", post(close));
}
