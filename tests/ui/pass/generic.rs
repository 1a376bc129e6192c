#![deny(warnings)]

use axum::Json;
use axum::extract::{FromRef, State};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

trait Shop: Clone + Send + Sync + 'static {
    fn name(&self) -> String;
}

#[derive(Clone)]
struct App(Idempotency);

impl Shop for App {
    fn name(&self) -> String {
        "app".to_owned()
    }
}

impl FromRef<App> for Idempotency {
    fn from_ref(app: &App) -> Self {
        app.0.clone()
    }
}

#[idempotent(key = body)]
async fn pay<S: Shop, T>(State(shop): State<S>, Json(body): Json<T>) -> Json<T>
where
    T: serde::de::DeserializeOwned + serde::Serialize + cratestack_runtime::KeyPart + Send + Sync + 'static,
{
    let _ = shop.name();
    Json(body)
}

#[idempotent]
async fn sized<const N: usize>() -> [u8; N] {
    [0; N]
}

fn main() {
    let _: Router<App> = Router::new().route("/0", post(pay::<App, u64>)).route("/1", post(sized::<3>));
}
