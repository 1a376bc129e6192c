use std::sync::{Arc, Mutex};

use axum::extract::{FromRef, State};
use axum::{Json, Router, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, idempotent};
use serde_json::{Value, json};

/// What your service calls: in production a client of the provider, in tests a fake.
#[derive(Clone, Default)]
struct Provider {
    charges: Arc<Mutex<Vec<Value>>>,
}

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    provider: Provider,
}

#[idempotent]
async fn pay(State(provider): State<Provider>, Json(order): Json<Value>) -> (StatusCode, Json<Value>) {
    let mut charges = provider.charges.lock().unwrap();
    charges.push(order["amount"].clone());
    (StatusCode::CREATED, Json(json!({ "payment": charges.len() })))
}

fn app(idempotency: Idempotency, provider: Provider) -> Router {
    Router::new().route("/payments", post(pay)).with_state(App { idempotency, provider })
}

use cratestack_runtime::MemoryStore;
use cratestack_runtime::testing::{Request, Service};

/// Your service, the provider that it charges, and a payment.
fn service() -> (Service<MemoryStore>, Provider, Request<MemoryStore>) {
    let provider = Provider::default();
    let outside = provider.clone();
    let service = Service::new(MemoryStore::new(), move |idempotency| app(idempotency, outside.clone()));
    let payment = service.post("/payments").key("k1").json(&json!({ "amount": 5 }));
    (service, provider, payment)
}

#[tokio::test]
async fn sent_twice_it_charges_once() {
    let (_service, provider, payment) = service();
    payment.twice().await;
    assert_eq!(provider.charges.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn sent_at_once_it_charges_once() {
    let (_service, provider, payment) = service();
    payment.at_once(5).await;
    assert_eq!(provider.charges.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn crashed_after_the_charge_it_is_taken_over_once_the_lease_is_over() {
    let (service, provider, payment) = service();
    payment.crash_before_recording().await;
    service.lease_is_over().await;
    payment.twice().await;
    assert_eq!(provider.charges.lock().unwrap().len(), 2); // 1, where the provider knows keys: `Reservation::derive`
}
