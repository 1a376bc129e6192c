//! `handle = …`: the handle is taken from the handler's arguments, on real servers.

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use std::sync::Arc;

use crate::server::serve;

#[derive(Clone)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(handle = app.idempotency)]
async fn of_state(State(app): State<Arc<App>>, body: String) -> String {
    let _ = &app;
    body
}

#[tokio::test]
async fn first() {
    let app = Arc::new(App { idempotency: Idempotency::new(MemoryStore::new()) });
    let client = serve(Router::new().route("/", post(of_state)).with_state(app)).await;
    let request = client.post("/").key("k").body("x");
    assert_eq!(request.send().await.unwrap().status, 200);
    assert!(request.send().await.unwrap().is_replay());
}
