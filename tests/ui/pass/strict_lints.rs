//! Lints that a crate may turn on.

#![deny(
    warnings,
    clippy::all,
    clippy::nursery,
    clippy::pedantic,
    deprecated_in_future,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    future_incompatible,
    keyword_idents,
    let_underscore_drop,
    macro_use_extern_crate,
    meta_variable_misuse,
    missing_debug_implementations,
    missing_docs,
    non_ascii_idents,
    nonstandard_style,
    redundant_imports,
    redundant_lifetimes,
    rust_2018_idioms,
    rust_2021_compatibility,
    rust_2024_compatibility,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unsafe_code,
    unused,
    unused_import_braces,
    unused_lifetimes,
    unused_macro_rules,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]
#![allow(clippy::unused_async)]
#![forbid(unsafe_code)]

use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(ttl = "24h", key = (id, &body), principal = 7 + id, state = Idempotency)]
async fn pay(
    State(handle): State<Idempotency>,
    Path(id): Path<u64>,
    Json(body): Json<String>,
) -> Result<(StatusCode, Json<String>), StatusCode> {
    if id == 0 {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok((StatusCode::CREATED, Json(format!("{handle:?} {body}"))))
}

#[idempotent]
fn plain() -> std::future::Ready<StatusCode> {
    std::future::ready(StatusCode::CREATED)
}

struct Shop;

impl Shop {
    #[idempotent]
    async fn pay(body: String) -> String {
        let Self = Self;
        body
    }
}

fn main() {
    drop::<Router<Idempotency>>(
        Router::new().route("/0", post(pay)).route("/1", post(plain)).route("/2", post(Shop::pay)),
    );
}
