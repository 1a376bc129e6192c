//! The `#[idempotent]` attribute of `cratestack-runtime`. Depend on that crate: it re-exports the attribute, and the
//! code that the attribute generates calls it.

// The order of the files. Each imports from those after it only:
// expand → placement, signature, guarded, function → expressions, function_signature, function_checks, type_checks,
// moved → handle → evaluation, reservation → context → handler → names → options → mistake; runtime_path.
mod context;
mod evaluation;
mod expand;
mod expressions;
mod function;
mod function_checks;
mod function_signature;
mod guarded;
mod handle;
mod handler;
mod mistake;
mod moved;
mod names;
mod options;
mod placement;
mod reservation;
mod runtime_path;
mod signature;
#[cfg(test)]
mod tests;
mod type_checks;

use proc_macro::TokenStream;

/// Makes an axum handler run at most once per `Idempotency-Key`.
///
/// The first request with a key runs the handler and records its response. A later one with the same key and the same
/// content gets that response back, byte for byte but for headers that carry a session's secret
/// (`Idempotency::omit_header`), with `Idempotency-Replayed: true`; while the first still runs it gets 409; with other
/// content it gets 422. Requests with a safe method (GET, HEAD, OPTIONS, TRACE) pass unguarded.
///
/// The router's state provides a `cratestack_runtime::Idempotency` through axum's `FromRef`, also from within an `Arc`;
/// where it does not, the route is an error that says so. All extractors run before
/// the key is looked at, so a request that fails authentication or validation costs no key and sees no replay.
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
/// # Options
///
/// | option | value | default | effect |
/// |---|---|---|---|
/// | [`ttl`](#ttl) | duration | `Idempotency::ttl`, 24 hours | how long the outcome is kept |
/// | [`lease`](#lease) | duration | `Idempotency::lease`, 30 seconds | how soon after its process died the same request may run |
/// | [`wait`](#wait) | duration | 409 at once | how long a duplicate of a running request waits for its outcome |
/// | [`optional`](#optional) | none | a key is required | a request without a key runs unguarded |
/// | [`record`](#record) | `all`, `success`, `all_but_5xx` | `all` | which outcomes are kept |
/// | [`on_store_error`](#on_store_error) | `refuse`, `run` | `Idempotency::on_store_error` | what happens where the store cannot reserve |
/// | [`transaction`](#transaction) | none | reserve, run, record | the handler's writes and its outcome are one commit |
/// | [`commit`](#commit) | `success`, `all` | `success` | in a transaction: whose writes are committed |
/// | [`isolation`](#isolation) | a level | the database's | in a transaction: how far it is kept from others |
/// | [`retry`](#retry) | number | 0 | in a transaction: how often the handler runs again where others were in its way |
/// | [`body_limit`](#body_limit) | number | `Idempotency::max_request_bytes`, else axum's `DefaultBodyLimit` | the bound on the request's body, in bytes |
/// | [`key`](#key) | expression | the header | the key is made of the handler's arguments |
/// | [`principal`](#principal) | expression | `Idempotency::principal` | who the key belongs to |
/// | [`fingerprint`](#fingerprint) | expression | the whole request | what must match on a retry, beside method and path |
/// | [`handle`](#handle) | expression | the router's state | the `Idempotency` is taken from the arguments |
/// | [`state`](#state) | type | | checks arguments and state at compile time |
/// | [`name`](#name) | string | a handler | guards a function that is no handler |
///
/// Options stand in any order, each at most once: `#[idempotent(ttl = "24h", optional)]`. An unknown one is refused,
/// with the name that was probably meant, or with all names.
///
/// A **duration** is a string of whole numbers, each with a unit, `ms`, `s`, `m`, `h`, `d` or `w`: `"90s"`, `"1h 30m"`.
/// Refused are a number without a unit or quotes, a unit that is spelt out or behind a space, a fraction, zero, a
/// negative one, and more than ten years.
///
/// An **expression** is ordinary Rust over the handler's own arguments, by the names that its patterns give them and by
/// reference, so that a field need not be `Copy`. Its value is a `KeyPart`: strings, integers, `bool`, `char`, `Uuid`,
/// and options, slices, tuples and references of them. It is evaluated after the extractors and before the handler.
/// Refused are a type that is no `KeyPart` (a float, for one), a literal (but a string as [`principal`](#principal)), a
/// closure, an assignment to an argument, and what leaves the expression: `.await`, `?`, `return`, `break`.
///
/// ## `ttl`
///
/// How long the outcome is kept, from the moment that its key is reserved, or its transaction begins; a retry after
/// that runs the handler again.
///
/// ```
/// # use cratestack_runtime::idempotent;
/// #[idempotent(ttl = "7d")]
/// async fn pay() {}
/// ```
///
/// ## `lease`
///
/// How long the key stays reserved when its process died; a retry of the same request then takes over, and another
/// request under the key gets 422 until the `ttl` ends. A handler that runs longer renews its lease, so this is not a
/// bound on its time. Refused where it is longer than the `ttl` beside it.
///
/// ```
/// # use cratestack_runtime::idempotent;
/// #[idempotent(ttl = "24h", lease = "10s")]
/// async fn pay() {}
/// ```
///
/// ## `wait`
///
/// A duplicate that arrives while the first request still runs waits that long for its outcome, and replays it; without
/// an outcome by then it gets the 409 that it would get at once otherwise.
///
/// ```
/// # use cratestack_runtime::idempotent;
/// #[idempotent(wait = "5s")]
/// async fn pay() {}
/// ```
///
/// ## `optional`
///
/// A request without a key runs unguarded, where it would get 400 otherwise: one without the header, or one whose [`key
/// = …`](#key) comes to nothing. A malformed header is 400 all the same. Refused is a value (`optional = true`).
///
/// ```
/// # use cratestack_runtime::idempotent;
/// #[idempotent(optional)]
/// async fn pay() {}
/// ```
///
/// ## `record`
///
/// With `all`, the default, every outcome is kept, and an error is replayed like a success. Any other word frees the
/// key after an outcome that it does not keep, and a retry then **runs the handler again**:
///
/// - `success` keeps outcomes with a status of 2xx and 3xx. It is for handlers that have no effect when they fail.
/// - `all_but_5xx` keeps those from 2xx to 4xx, and a 5xx frees the key, as clients expect that send a 5xx again. It is
///   safe in a [`transaction`](#transaction): a 5xx undoes what the handler wrote, beside `commit = all` too, and the
///   retry finds nothing of it. Without one, and for what a handler does elsewhere than in its transaction, a handler
///   that answers 5xx after its effect has it once more with every retry. There, answer 5xx before the effect only, or
///   give the effect a key of its own with `Reservation::derive`, which is the same for every run of one request.
///
/// Refused is any other word, also in quotes.
///
/// ```
/// # use cratestack_runtime::idempotent;
/// #[idempotent(record = success)]
/// async fn pay() {}
/// ```
///
/// ## `on_store_error`
///
/// With `run` the handler runs **unprotected** where the store cannot reserve; with `refuse` the request gets 503.
/// Either has the last word over `Idempotency::on_store_error`, which decides without it, and refuses by default.
/// Refused are any other word, also in quotes, and `run` beside `transaction`.
///
/// ```
/// # use cratestack_runtime::idempotent;
/// #[idempotent(on_store_error = run)]
/// async fn log_visit() {}
/// ```
///
/// ## `transaction`
///
/// The handler takes a `Tx<Postgres>` or a `Tx<Sqlite>`, at any place among its arguments, and what it writes with it
/// is committed together with the recorded outcome, or neither is. A process that dies leaves nothing behind and frees
/// the key with its connection; a panic, and a handler that takes longer than its `lease`, undo everything and free the
/// key at once. (The lease is not renewed here: it is the transaction's deadline.) The router's state provides an
/// `Idempotency<PostgresStore>`, or one of `SqliteStore`, made by `Idempotency::transactional`.
///
/// What a handler does elsewhere, in another database or at a payment provider, is not part of the transaction: it may
/// happen and the transaction be undone.
///
/// An error is recorded, and a retry gets it again, unless the next run may fare better: after a deadlock or a
/// serialization failure the request gets 503 and the key is free. Where the handler's error hides its cause (see
/// [`retry`](#retry)), that holds for every 5xx in a transaction that Postgres has given up, after a unique violation
/// too: an error that has the `sqlx::Error` among its sources is recorded.
///
/// With `optional`, a request without a key still runs in a transaction, unguarded. Refused are a value; a handler
/// without a `Tx`, or with two; a `Tx` without `transaction`; a state that has no such handle, where `state = …` names
/// it; `on_store_error = run` beside it; and `tx.commit()`.
///
/// ```
/// # use axum::http::StatusCode;
/// # use cratestack_runtime::{Tx, idempotent};
/// # use sqlx::Postgres;
/// #[idempotent(transaction)]
/// async fn pay(mut tx: Tx<Postgres>, amount: String) -> Result<StatusCode, StatusCode> {
///     let insert = sqlx::query("INSERT INTO payments (amount) VALUES ($1)").bind(amount);
///     insert.execute(&mut *tx).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
///     Ok(StatusCode::CREATED)
/// }
/// ```
///
/// ## `commit`
///
/// With `commit = success`, the default, an error (a status from 400) undoes what the handler wrote, and is recorded
/// alone. With `commit = all` an error's writes are kept, in one commit with its record. A response that is
/// `Unrecorded` undoes its writes either way, and so does one that [`record`](#record) does not keep. Refused are any
/// other word, `record = success` beside `commit = all`, and either word without `transaction`.
///
/// ```
/// # use cratestack_runtime::{Tx, idempotent};
/// # use sqlx::Postgres;
/// #[idempotent(transaction, commit = all)]
/// async fn attempt(tx: Tx<Postgres>) { /* … */ }
/// ```
///
/// ## `isolation`
///
/// `read_committed`, `repeatable_read` or `serializable`: the level that the transaction begins with. SQLite's
/// transactions are serializable whatever is asked for. Refused are any other word, also in quotes, and an `isolation`
/// without `transaction`.
///
/// ```
/// # use cratestack_runtime::{Tx, idempotent};
/// # use sqlx::Postgres;
/// #[idempotent(transaction, isolation = serializable, retry = 5)]
/// async fn transfer(tx: Tx<Postgres>) { /* … */ }
/// ```
///
/// ## `retry`
///
/// How often the whole handler runs again, in a new transaction and with clones of its arguments, where another
/// transaction was in its way: a serialization failure or a deadlock of one of its statements, or of the commit.
/// Without it, and after the last time, the request gets 503 with `Retry-After`, nothing is changed, and the key is
/// free. A statement's failure is known where the handler's error implements `std::error::Error` and has the
/// `sqlx::Error` among its sources. Other errors, `(StatusCode, String)` among them, hide their cause: one with a
/// status from 500 whose transaction the database has given up counts, whatever the statement failed of. Refused are
/// zero, more than 100, a string, an argument that is not `Clone`, and a `retry` without `transaction`.
///
/// ```
/// # use cratestack_runtime::{Tx, idempotent};
/// # use sqlx::Postgres;
/// #[idempotent(transaction, retry = 3)]
/// async fn transfer(tx: Tx<Postgres>) { /* … */ }
/// ```
///
/// ## `body_limit`
///
/// A longer body gets 413, and nothing is reserved. Refused are zero, a string, and more than `u32::MAX`.
///
/// Without it the bound is `Idempotency::max_request_bytes`, else what axum's `DefaultBodyLimit` says for the route: 2
/// MiB where nobody says anything, or where it is disabled. This **differs from the bare handler** in one case: axum
/// bounds what an extractor buffers, and so neither `Request` nor `Body`, whose handler may stream any length. With a
/// key their body is bounded too, because all of it is read before the handler runs: it is part of what a retry must
/// match. An upload of more than 2 MiB says here how long it may be, and is held in memory meanwhile. A request without
/// a key (with [`optional`](#optional)) streams as it does without the attribute.
///
/// ```
/// # use cratestack_runtime::idempotent;
/// #[idempotent(body_limit = 65_536)]
/// async fn pay(body: String) { /* … */ }
/// ```
///
/// ## `key`
///
/// The key comes from the arguments, and the header is not read. What comes to nothing (`None`, an empty string or
/// slice, or a tuple of nothing else) is no key: such a request gets 400, or runs unguarded with `optional`. A key that
/// its caller does not choose, such as an event's number, belongs to whoever numbers the events: say so with
/// [`principal`](#principal).
///
/// ```
/// # use axum::Json;
/// # use cratestack_runtime::idempotent;
/// # #[derive(serde::Deserialize)]
/// # struct Event { id: String, attempt: u32 }
/// #[idempotent(key = event.id, principal = "stripe")]
/// async fn webhook(Json(event): Json<Event>) {
///     # let _ = event.attempt;
/// }
/// ```
///
/// ## `principal`
///
/// Who the key belongs to: two principals with one key never meet. It should be what authentication says, never what
/// the caller says of himself. Where all requests are one caller's, as those of a provider's webhook are, a string or a
/// `const` names it: `principal = "stripe"`; the requests' signatures are then an extractor's to check.
///
/// What comes to nothing names nobody: a request whose principal is `None` or empty, or a tuple of which any part is,
/// gets 500, with a line in the log. Reject it in an extractor before. Refused are an empty string, `()` and `None`
/// where they stand, and any other literal.
///
/// ```
/// # use cratestack_runtime::idempotent;
/// # #[derive(Clone)]
/// # struct User { tenant: u64, id: u64 }
/// #[idempotent(principal = (user.tenant, user.id))]
/// async fn pay(axum::Extension(user): axum::Extension<User>) {
///     # drop(user);
/// }
/// ```
///
/// ## `fingerprint`
///
/// What a retry must have in common with the first request, in place of body and query; method and path are always
/// compared. For bodies that differ from retry to retry in what does not matter.
///
/// ```
/// # use axum::Json;
/// # use cratestack_runtime::idempotent;
/// # #[derive(serde::Deserialize)]
/// # struct Payment { amount: u64, currency: String, sent_at: u64 }
/// #[idempotent(fingerprint = (payment.amount, &payment.currency))]
/// async fn pay(Json(payment): Json<Payment>) {
///     # let _ = payment.sent_at;
/// }
/// ```
///
/// ## `handle`
///
/// Takes the `Idempotency` from the arguments, and asks nothing of the router's state. The expression is one over
/// those before the last, or, where it names the last one too, over all, of which none may then read the body: it is
/// evaluated before that. A function with [`name`](#name) names any. Refused are what is no `Idempotency`, and one
/// that is not typed by its store in a `transaction`, or beside a `Reservation` of a database.
///
/// ```
/// # use axum::Extension;
/// # use cratestack_runtime::{Idempotency, idempotent};
/// #[idempotent(handle = idempotency)]
/// async fn pay(Extension(idempotency): Extension<Idempotency>, amount: String) { /* … */ }
/// ```
///
/// ## `state`
///
/// The type of the router's state. It changes nothing at run time. With it, a state without `Idempotency`, a `State<T>`
/// that is no part of it, and an argument that is no extractor are errors at the handler; without it, they are errors
/// at the route, the latter two in axum's words. An argument `State<T>` does not tell as much, because `T` may be a
/// part of the state. Where several states make an extractor of one type that is not yours, such as `bool`, name any of
/// them. Refused are a value and a string.
///
/// ```
/// # use axum::extract::{FromRef, State};
/// # use cratestack_runtime::{Idempotency, idempotent};
/// #[derive(Clone, FromRef)]
/// struct App {
///     idempotency: Idempotency,
///     name: &'static str,
/// }
///
/// #[idempotent(state = App)]
/// async fn pay(State(name): State<&'static str>) -> String {
///     format!("paid at {name}")
/// }
/// ```
///
#[doc = include_str!("functions.md")]
/// # What the function may be
///
/// Whatever axum takes: an `async fn` or a `fn` that returns a future, free or associated, with `self` by value or
/// without it, generic or not, in a generic `impl` or not. A type parameter says itself what the handler's future needs
/// to move between threads, most often `T: Send + Sync + 'static`, because that is asked here and not at the route.
///
/// Refused are anything but a function; `const`, `unsafe`, `extern` and variadic ones; `&self`; borrowed arguments and
/// `impl Trait` in argument position; more than 16 arguments; `main` and tests; a future that is not `Send`; what
/// returns neither a response nor a `Result` of two; a body extractor that is not last; content that is not
/// `Deserialize`; and an argument that is a plain number, `bool` or `Uuid`.
///
/// The attribute replaces the function by one of the same name that takes a single extractor. It is there to be mounted
/// on a route, and cannot be called directly.
///
/// # Beside other attributes
///
/// Other attributes belong **below** this one, where they see the original signature: `#[axum::debug_handler]`,
/// `#[tracing::instrument]`. Documentation, `#[deprecated]` and `#[must_use]` stay with the function that others see.
///
/// `#[utoipa::path]` belongs **above**: it makes a type beside the function, by the function's name. Where it stands
/// below, the two change places.
///
/// `#[axum::debug_handler]` above this one calls the handler with the arguments that it had, and reports their number.
/// [`state = …`](#state) does its work: with the type of the router's state, what does not fit is told at the handler.
#[proc_macro_attribute]
pub fn idempotent(attribute: TokenStream, item: TokenStream) -> TokenStream {
    // In an `impl` an attribute is indented. An editor that expands it may not tell the place, and gives the first column.
    let may_stand_in_impl = proc_macro::Span::call_site().column() > 1;
    expand::idempotent(&runtime_path::private(), may_stand_in_impl, &attribute.into(), &item.into()).into()
}
