use axum::{Router, routing::post};
use cratestack_runtime::idempotent;

#[idempotent]
async fn pay(body: String) -> String {
    body
}

async fn serve(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    let app = Router::new().route("/payments", post(pay));
    axum::serve(listener, app).await
}

fn main() {
    drop(serve);
}
