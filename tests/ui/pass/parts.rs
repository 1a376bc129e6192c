#![deny(warnings)]

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, OriginalUri, Path, Query};
use axum::http::{HeaderMap, Method, Uri};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};
use std::sync::Arc;

#[expect(clippy::too_many_arguments)]
#[idempotent]
async fn pay(
    _: Path<u64>,
    _: Option<Path<u64>>,
    _: Result<Path<u64>, PathRejection>,
    _: Query<Vec<(String, String)>>,
    _: Extension<Arc<str>>,
    _: (Method, Uri),
    _: OriginalUri,
    _: MatchedPath,
    _: HeaderMap,
    _: Option<Extension<u8>>,
) {
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
