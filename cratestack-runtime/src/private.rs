//! What generated code names. Not public API: anything here may change with any release.

pub use std::boxed::Box;

pub use axum::response::{IntoResponse, Response};

pub use crate::extract::{Guarded, Via};
pub use crate::http::{Call, Options, Work};

use std::future::Future;

/// What a handler's call gives: a future whose output is a response.
#[diagnostic::on_unimplemented(
    message = "an idempotent handler is an `async fn`, or a `fn` that returns a future of a response",
    label = "this is no future of a response",
    note = "write `async fn`, or return `impl Future<Output = …> + Send`"
)]
pub trait HandlerFuture: Send {
    /// Runs the handler and makes a response of what it returns.
    fn into_handler_response(self) -> impl Future<Output = Response> + Send;
}

#[diagnostic::do_not_recommend]
impl<F> HandlerFuture for F
where
    F: Future<Output: IntoResponse> + Send,
{
    async fn into_handler_response(self) -> Response {
        self.await.into_response()
    }
}

/// A handler's result, as the guard takes it.
pub fn response<F: HandlerFuture>(handler: F) -> impl Future<Output = Response> + Send {
    handler.into_handler_response()
}

/// The body of a handler that the attribute has refused: it compiles, and is never run.
pub fn refused() -> Response {
    axum::http::StatusCode::NOT_IMPLEMENTED.into_response()
}

/// `state = App`
pub fn state_provides_idempotency<S: ProvidesIdempotency>() {}

/// A router's state in which `#[idempotent]` finds its handle.
#[diagnostic::on_unimplemented(
    message = "the state `{Self}` does not provide an `Idempotency`",
    label = "no `Idempotency` in this state",
    note = "add the field `idempotency: Idempotency` to it and derive axum's `FromRef`, or implement \
            `FromRef<{Self}> for Idempotency`"
)]
pub trait ProvidesIdempotency {}

#[diagnostic::do_not_recommend]
impl<S> ProvidesIdempotency for S where crate::Idempotency: axum::extract::FromRef<S> {}
