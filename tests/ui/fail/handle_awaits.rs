use axum::extract::State;
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone)]
struct App;

impl App {
    async fn handle(&self) -> Idempotency {
        unimplemented!()
    }
}

#[idempotent(handle = app.handle().await)]
async fn pay(State(app): State<App>) {
    let _ = app.handle();
}

fn main() {}
