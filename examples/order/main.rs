//! Charges at a provider and ships, each once for one key, whenever the process dies: `cargo run --example order`.

use std::{env, error::Error, net::SocketAddr};

use axum::{BoxError, Json, Router, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, Reservation, SqliteStore, idempotent};
use serde_json::{Value, json};

/// A step that is recorded is not done again: a retry after a crash, or after an error, goes on behind it.
#[idempotent(record = success, lease = "5s", wait = "30s")]
async fn order(reservation: Reservation, Json(order): Json<Value>) -> Result<Json<Value>, StatusCode> {
    let unfinished = |error: BoxError| {
        eprintln!("{error}");
        StatusCode::SERVICE_UNAVAILABLE
    };
    let charge = async || call("PROVIDER", reservation.derive("charge"), &order).await;
    let charge = reservation.step("charge", charge).await.map_err(unfinished)?;
    let ship = async || call("WAREHOUSE", reservation.derive("ship"), &charge).await;
    let parcel = reservation.step("ship", ship).await.map_err(unfinished)?;
    Ok(Json(json!({"charge": charge, "parcel": parcel})))
}

/// The derived key is the same in every attempt: who is called makes one charge of it, however often the call is made.
async fn call(service: &str, key: uuid::Uuid, body: &Value) -> Result<Value, BoxError> {
    let address = env::var(service).map_err(|_| format!("{service} is to be the address of one"))?;
    let request = reqwest::Client::new().post(address).header("Idempotency-Key", key.to_string());
    Ok(request.json(body).send().await?.error_for_status()?.json().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = SqliteStore::new(sqlx::SqlitePool::connect("sqlite://orders.db?mode=rwc").await?);
    store.migrate().await?;
    let app = Router::new().route("/orders", post(order)).with_state(Idempotency::new(store));
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
