//! An argument that nothing but an expression names is used, and one whose name begins with an underscore may be.

#![deny(warnings, clippy::nursery, clippy::pedantic)]
#![allow(clippy::unused_async)]

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Json, Path};
use axum::http::Method;
use axum::http::request::Parts;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

struct User {
    id: u64,
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self { id: 1 })
    }
}

#[idempotent(principal = user.id)]
async fn principal(user: User, Json(body): Json<String>) -> String {
    body
}

#[idempotent(key = id, fingerprint = (body.len(), r#in))]
async fn everything(Path((id, r#in)): Path<(u64, u64)>, body: String) {}

#[idempotent(key = format!("{id}/{0}", user.id))]
async fn in_a_string(Path(id): Path<u64>, user: User) {}

#[idempotent(key = body)]
async fn after_an_attribute(body: String) -> &'static str {
    #![allow(clippy::items_after_statements)]
    const NAME: &str = "paid";
    NAME
}

#[idempotent(key = id)]
async fn others(Path(id): Path<u64>, _method: Method, _body: Bytes) {}

#[idempotent(key = _id, principal = _user.id, fingerprint = _body)]
async fn underscored(Path(_id): Path<u64>, _user: User, _body: String) {}

#[idempotent(principal = user.id)]
fn plain(user: User) -> std::future::Ready<()> {
    std::future::ready(())
}

#[idempotent(principal = "stripe")]
async fn literal(Path(_id): Path<u64>, _body: String) {}

impl User {
    #[idempotent(principal = self.id)]
    async fn by_itself(self) {}

    #[idempotent(principal = self.id, key = body)]
    async fn with_another(self, Path(body): Path<String>, _other: Bytes) -> Result<(), Self> {
        Ok(())
    }

    #[idempotent(principal = user.id, key = _id)]
    async fn without_self(user: User, Path(_id): Path<u64>, _other: Bytes) {}
}

impl axum::response::IntoResponse for User {
    fn into_response(self) -> axum::response::Response {
        self.id.to_string().into_response()
    }
}

macro_rules! handler {
    ($name:ident, $argument:ident) => {
        #[idempotent(key = $argument)]
        async fn $name($argument: String) {}
    };
}

handler!(in_a_macro, body);

fn main() {
    let _: Router<Idempotency> = Router::new()
        .route("/0", post(principal))
        .route("/1", post(everything))
        .route("/2", post(in_a_string))
        .route("/3", post(after_an_attribute))
        .route("/4", post(others))
        .route("/5", post(underscored))
        .route("/6", post(plain))
        .route("/7", post(literal))
        .route("/8", post(User::by_itself))
        .route("/9", post(User::with_another))
        .route("/10", post(User::without_self))
        .route("/11", post(in_a_macro));
}
