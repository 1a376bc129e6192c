#![deny(warnings)]
#![warn(clippy::pedantic)]
//! Nothing that the attribute generates is worth a warning, to rustc or to clippy, in a crate that asks for all of
//! them.

use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts, Json, State};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use axum::Router;
use once::{idempotent, Idempotency, MemoryStore, Reservation};
use serde::{Deserialize, Serialize};
use tower_service::Service;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    shop: &'static str,
}

#[derive(Deserialize, Serialize)]
struct Payment {
    id: String,
    amount: u64,
}

struct User {
    name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Ok(Self { name: parts.method.to_string() })
    }
}

impl User {
    /// By value, because it is an extractor.
    #[idempotent(wait = "1s", record = success)]
    async fn greet(self, State(shop): State<&'static str>) -> String {
        std::future::ready(()).await;
        format!("{shop} greets {}", self.name)
    }
}

/// Pays.
#[idempotent(
    ttl = "24h",
    lease = "30s",
    key = payment.id,
    principal = user.name,
    fingerprint = (payment.amount, &payment.id),
    state = App
)]
async fn pay(
    State(shop): State<&'static str>,
    user: User,
    reservation: Reservation,
    Json(mut payment): Json<Payment>,
) -> Result<(StatusCode, Json<Payment>), StatusCode> {
    std::future::ready((shop, user.name, reservation)).await;
    payment.amount += 1;
    Ok((StatusCode::CREATED, Json(payment)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let idempotency = Idempotency::new(MemoryStore::new());
    let mut app = Router::new()
        .route("/pay", post(pay))
        .route("/greet", post(User::greet))
        .with_state(App { idempotency, shop: "shop" })
        .into_service::<Body>();
    for _ in 0..2 {
        let request = Request::post("/pay").header("content-type", "application/json");
        let request = request.body(Body::from(r#"{"id": "a", "amount": 1}"#)).expect("it is a request");
        let response = app.call(request).await.unwrap_or_else(|never| match never {});
        println!("{} replayed={}", response.status(), response.headers().contains_key("idempotency-replayed"));
    }
}
