//! The `#[idempotent]` attribute of `cratestack-runtime`. Depend on that crate: it re-exports the attribute, and the
//! code that the attribute generates calls it.

mod check;
mod duration;
mod expand;
mod handler;
mod mistake;
mod options;
mod parts;
mod probe;
mod runtime;
mod suggest;
#[cfg(test)]
mod tests;
mod values;

use proc_macro::TokenStream;

/// Makes an axum handler run at most once per `Idempotency-Key`.
///
/// The first request with a key runs the handler and records its response. A later one with the same key and the same
/// content gets that response back, byte for byte, with `Idempotency-Replayed: true`; while the first still runs it gets
/// 409; with other content it gets 422. Requests with a safe method (GET, HEAD, OPTIONS, TRACE) pass unguarded.
///
/// The router's state provides a `cratestack_runtime::Idempotency` through axum's `FromRef`. All extractors run before
/// the key is looked at, so a request that fails authentication or validation costs no key and sees no replay.
///
/// # Options
///
/// | option | default | effect |
/// |---|---|---|
/// | `ttl = "24h"` | `Idempotency::ttl`, 24 hours | how long the outcome is kept |
/// | `lease = "30s"` | `Idempotency::lease`, 30 seconds | how long the key stays reserved after its process died |
/// | `optional` | the header is required | a request without the header runs unguarded |
/// | `wait = "5s"` | 409 at once | a duplicate of a running request waits that long for its outcome |
/// | `key = EXPR` | the header | the key is made of the handler's arguments |
/// | `principal = EXPR` | `Idempotency::identify` | who the key belongs to |
/// | `fingerprint = EXPR` | the whole request | what must match on a retry, beside method and path |
/// | `record = success` | `all` | only 2xx and 3xx are kept; otherwise the key is free again |
/// | `on_store_error = run` | `Idempotency::on_store_error` | the handler runs unprotected where the store cannot reserve |
/// | `body_limit = 65536` | `Idempotency::max_request_bytes` | the bound on the request's body, in bytes |
/// | `state = App` | | checks at compile time that the router's state provides `Idempotency` |
///
/// Durations are whole numbers with a unit, `ms`, `s`, `m`, `h`, `d` or `w`, one after another: `"90s"`, `"1h 30m"`.
///
/// # What the function may be
///
/// Whatever axum takes: an `async fn` or a `fn` that returns a future, free or associated, with `self` by value or
/// without it, generic or not. `&self` is refused, because axum could not call it. Other attributes belong below this
/// one; they see the original signature.
///
/// # Example
///
/// ```
/// use axum::extract::{FromRef, Json, State};
/// use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
/// # #[derive(serde::Deserialize)]
/// # struct CreatePayment { amount: u64 }
/// # #[derive(serde::Serialize)]
/// # struct Payment { amount: u64 }
///
/// #[derive(Clone, FromRef)]
/// struct App {
///     idempotency: Idempotency,
/// }
///
/// #[idempotent(ttl = "24h", lease = "30s")]
/// async fn create_payment(State(app): State<App>, Json(request): Json<CreatePayment>) -> Json<Payment> {
///     # let _ = app;
///     Json(Payment { amount: request.amount })
/// }
///
/// let app: axum::Router = axum::Router::new()
///     .route("/payments", axum::routing::post(create_payment))
///     .with_state(App { idempotency: Idempotency::new(MemoryStore::new()) });
/// ```
///
/// The attribute replaces the function by one of the same name that takes a single extractor; it can be mounted on a
/// route, and no longer be called directly.
#[proc_macro_attribute]
pub fn idempotent(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::idempotent(&runtime::private(), attribute.into(), &item.into()).into()
}
