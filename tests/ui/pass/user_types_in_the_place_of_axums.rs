#![deny(warnings)]

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

/// No deserialization here, though it looks like it.
struct Json<T>(T);

impl<S: Send + Sync> FromRequest<S> for Json<*const u8> {
    type Rejection = StatusCode;

    async fn from_request(_: Request, _: &S) -> std::result::Result<Self, StatusCode> {
        Err(StatusCode::BAD_REQUEST)
    }
}

unsafe impl<T> Send for Json<T> {}

/// Not every `Result` has an error that responds.
struct Result<T, E>(T, std::marker::PhantomData<E>);

impl<T: IntoResponse, E> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

struct Token;

impl FromRequestParts<Idempotency> for Token {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &Idempotency) -> std::result::Result<Self, StatusCode> {
        Ok(Self)
    }
}

struct NoResponse;

#[idempotent]
async fn pay(_: Token, json: Json<*const u8>) -> Result<String, NoResponse> {
    Result(format!("{}", json.0.is_null()), std::marker::PhantomData)
}

#[idempotent(state = Idempotency)]
async fn with_state(_: Token, _: Bytes) {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay)).route("/1", post(with_state));
}
