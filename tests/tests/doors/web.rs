//! How the operation looks over HTTP, and what an answer says of it.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::door::Outcome;
use crate::work::Failure;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("failed {}", self.0)).into_response()
    }
}

pub fn request(principal: &str, key: &str, payload: &str) -> Request<Body> {
    let request = Request::post("/work").header("authorization", principal).header("idempotency-key", key);
    request.body(Body::from(payload.to_owned())).unwrap()
}

pub async fn call(router: &Router, principal: &str, key: &str, payload: &str) -> Outcome {
    let response = router.clone().oneshot(request(principal, key, payload)).await.unwrap();
    let is_replay = response.headers().contains_key("idempotency-replayed");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = std::str::from_utf8(&body).unwrap();
    if let Ok(value) = body.parse() {
        return if is_replay { Outcome::Replayed(value) } else { Outcome::Fresh(value) };
    }
    if let Some(value) = body.strip_prefix("failed ") {
        return Outcome::Failed(value.parse().unwrap());
    }
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no problem: {body}"));
    match problem["code"].as_str().unwrap() {
        "idempotency_request_in_flight" => Outcome::InFlight,
        "idempotency_key_conflict" => Outcome::Conflict,
        "idempotency_store_unavailable" => Outcome::Unavailable,
        "idempotency_handler_panicked" => Outcome::Panicked,
        "idempotency_reservation_lost" => Outcome::Lost,
        other => panic!("no outcome of this operation: {other}"),
    }
}
