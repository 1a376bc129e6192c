//! The `#[idempotent]` attribute of `cratestack-runtime`. Depend on that crate: it re-exports the attribute, and the
//! code that the attribute generates calls it.

mod check;
mod checks;
mod duration;
mod expand;
mod handler;
mod options;
mod parts;
mod suggest;

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
/// Durations are strings of whole numbers with a unit, `ms`, `s`, `m`, `h`, `d` or `w`, one after another: `"90s"`,
/// `"1h 30m"`; at least 1 ms, at most ten years. Every option may stand once.
///
/// | option | value | default | effect |
/// |---|---|---|---|
/// | [`ttl`](#ttl) | duration | `Idempotency::ttl`, 24 hours | how long the outcome is kept |
/// | [`lease`](#lease) | duration | `Idempotency::lease`, 30 seconds | how long the key stays reserved after its process died |
/// | [`optional`](#optional) | none | the header is required | a request without the header runs unguarded |
/// | [`wait`](#wait) | duration | none: 409 at once | how long a duplicate of a running request waits for its outcome |
/// | [`key`](#key) | expression | the header | what the key is made of |
/// | [`principal`](#principal) | expression | `Idempotency::identify` | who the key belongs to |
/// | [`fingerprint`](#fingerprint) | expression | the whole request | what must match on a retry |
/// | [`record`](#record) | `all` or `success` | `all` | which outcomes are kept |
/// | [`on_store_error`](#on_store_error) | `refuse` or `run` | `Idempotency::on_store_error`, `refuse` | what happens where the store cannot reserve |
/// | [`body_limit`](#body_limit) | bytes | `Idempotency::max_request_bytes` | the bound on the request's body |
/// | [`state`](#state) | type | | checks against the router's state at compile time |
///
/// ## `ttl`
///
/// `ttl = "24h"`: how long an outcome is kept, from the moment that its key is reserved. A retry that comes later is a new
/// request. Refused: a duration that is misspelt, zero, negative or over ten years; no string.
///
/// ## `lease`
///
/// `lease = "30s"`: how long a key stays reserved when its process dies, or stalls. A handler that lives renews its lease,
/// so it may take any time. Refused: as with `ttl`, and a lease that is longer than the `ttl` beside it.
///
/// ## `optional`
///
/// `optional`: a request without the header runs as if the attribute were not there; one with a malformed header is still
/// refused with 400. Refused: a value; beside `key = …`, which replaces the header.
///
/// ## `wait`
///
/// `wait = "5s"`: a duplicate of a running request waits that long for its outcome and replays it, and is answered 409 only
/// past it. However many wait, one of them in each process asks the store. Refused: as with `ttl`.
///
/// ## `key`
///
/// `key = req.request_id`: the key is made of the handler's arguments, and the header is not looked at. The expression, as
/// in `principal` and `fingerprint`, is ordinary Rust over the arguments, each by reference, under the names that the
/// handler gives them; it is evaluated after all extractors and before the handler. A tuple combines parts without
/// ambiguity. Parts are what implements `KeyPart`: strings, integers, `bool`, `char`, `Uuid`, options, slices and tuples,
/// and your own types. Refused: a constant; `.await`, `?` and `return`; a float, or another type that is no part; and
/// whatever else the compiler finds wrong with it, at its own token.
///
/// ## `principal`
///
/// `principal = (tenant.id, user.id)`: who the key belongs to. Keys of different principals never meet. Without it the
/// caller is what `Idempotency::identify` says, by default the `Authorization` value or else the peer's IP address; with it
/// a client whose token was renewed is still the same caller. Refused: as with `key`.
///
/// ## `fingerprint`
///
/// `fingerprint = (req.amount, &req.currency)`: what must match on a retry, instead of query, content type and body. Method
/// and path always must. Refused: as with `key`.
///
/// ## `record`
///
/// `record = success`: only 2xx and 3xx are kept; after any other answer the key is free again, and a retry runs the
/// handler again. Say so only where a failure means that nothing happened. Refused: any other word.
///
/// ## `on_store_error`
///
/// `on_store_error = run`: where the store cannot reserve, the handler runs all the same, without protection: a retry runs
/// it again. Refused: any other word.
///
/// ## `body_limit`
///
/// `body_limit = 65536`: the most bytes that a guarded request's body may have; a larger one is answered 413 and reserves
/// nothing. It replaces axum's `DefaultBodyLimit`. Refused: zero; a string.
///
/// ## `state`
///
/// `state = App`: checks that the router's state provides an `Idempotency`, and that every argument is an extractor over
/// it. Without it the compiler can say so only at the route. Refused: what is no type.
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
    expand::idempotent(attribute.into(), item.into()).into()
}
