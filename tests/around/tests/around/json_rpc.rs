//! JSON-RPC, and any other service of one endpoint: the call says what it is, and which one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use cratestack_runtime::testing::Service;
use cratestack_runtime::{Idempotency, MemoryStore, Unrecorded, idempotent};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Call {
    method: String,
    #[serde(default)]
    params: Value,
    /// It numbers the calls of one client, which begins anew with each start: it is no key.
    id: Value,
}

impl Call {
    /// What the client has made for the operation, and sends again with each try. Who asks only, sends none.
    fn operation(&self) -> Option<&str> {
        self.params["operation"].as_str()
    }
}

#[derive(Clone)]
struct Rpc {
    idempotency: Idempotency,
    balance: Arc<AtomicU64>,
}

impl Rpc {
    fn call(&self, call: &Call) -> Result<Value, Value> {
        match (call.method.as_str(), call.params["amount"].as_u64()) {
            ("pay_in", Some(0)) => Err(json!({ "code": -32000, "message": "the provider is away" })),
            ("pay_in", Some(amount)) => Ok(json!(self.balance.fetch_add(amount, Ordering::SeqCst) + amount)),
            ("pay_out", Some(amount)) => Ok(json!(self.balance.fetch_sub(amount, Ordering::SeqCst) - amount)),
            ("balance", None) => Ok(json!(self.balance.load(Ordering::SeqCst))),
            _ => Err(json!({ "code": -32601, "message": "method not found" })),
        }
    }
}

/// The method is part of the key, because all methods share a path. The id is no part of what a retry must match.
#[idempotent(
    optional,
    handle = rpc.idempotency,
    key = call.operation().map(|operation| (&call.method, operation)),
    fingerprint = call.params.to_string()
)]
async fn endpoint(State(rpc): State<Rpc>, Json(call): Json<Call>) -> Response {
    let outcome = rpc.call(&call);
    match outcome {
        Ok(result) => Json(json!({ "jsonrpc": "2.0", "id": call.id, "result": result })).into_response(),
        // JSON-RPC's errors are answers of 200: what is not to be kept says so.
        Err(error) => (Unrecorded, Json(json!({ "jsonrpc": "2.0", "id": call.id, "error": error }))).into_response(),
    }
}

#[tokio::test]
async fn a_call_of_json_rpc_is_made_once_by_the_key_in_its_params() {
    let balance = Arc::new(AtomicU64::new(0));
    let outside = Arc::clone(&balance);
    let service = Service::new(MemoryStore::new(), move |idempotency| {
        let rpc = Rpc { idempotency, balance: Arc::clone(&outside) };
        Router::new().route("/rpc", post(endpoint)).with_state(rpc)
    });
    let call = |id: u64, method: &str, params: Value| {
        service.post("/rpc").json(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    };
    let result = async |id, method, params| call(id, method, params).send().await.json::<Value>()["result"].clone();

    call(1, "pay_in", json!({ "operation": "a", "amount": 50 })).twice().await;
    assert_eq!(result(2, "balance", json!({})).await, 50);
    assert_eq!(result(3, "pay_out", json!({ "operation": "a", "amount": 20 })).await, 30, "another method's key");
    assert_eq!(result(4, "balance", json!({})).await, 30, "what asks only is no replay");

    let renumbered = call(9, "pay_in", json!({ "operation": "a", "amount": 50 })).send().await;
    assert!(renumbered.is_replay());
    assert_eq!(renumbered.json::<Value>()["id"], 1, "a replay is the first answer, and has its id");
    let other = call(1, "pay_in", json!({ "operation": "a", "amount": 51 })).send().await;
    assert_eq!(other.status(), 422);

    let failed = call(5, "pay_in", json!({ "operation": "b", "amount": 0 }));
    for _ in 0..2 {
        let answer = failed.send().await;
        assert!(!answer.is_replay() && answer.json::<Value>()["error"].is_object(), "it ran again: {answer:?}");
    }
    assert_eq!(balance.load(Ordering::SeqCst), 30);
}
