#![deny(warnings)]

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, Html, NoContent, Redirect, Response};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn tuple() -> (StatusCode, HeaderMap, Json<Vec<u8>>) {
    (StatusCode::CREATED, HeaderMap::new(), Json(vec![1]))
}

#[idempotent]
async fn headers() -> (AppendHeaders<[(&'static str, &'static str); 1]>, String) {
    (AppendHeaders([("a", "b")]), String::new())
}

#[idempotent]
async fn html() -> Html<&'static str> {
    Html("<p>")
}

#[idempotent]
async fn nothing() -> NoContent {
    NoContent
}

#[idempotent]
async fn redirect() -> Redirect {
    Redirect::to("/")
}

#[idempotent]
async fn response() -> Response {
    Response::default()
}

#[idempotent]
async fn array() -> [u8; 2] {
    [1, 2]
}

#[idempotent]
async fn boxed() -> Box<str> {
    "paid".into()
}

fn main() {
    let _: Router<Idempotency> = Router::new()
        .route("/0", post(tuple))
        .route("/1", post(headers))
        .route("/2", post(html))
        .route("/3", post(nothing))
        .route("/4", post(redirect))
        .route("/5", post(response))
        .route("/6", post(array))
        .route("/7", post(boxed));
}
