use std::borrow::Cow;
use std::marker::PhantomData;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::response::{Html, IntoResponse};

/// What a handler returns, as a type to ask about.
pub struct Returned<T>(pub(super) PhantomData<fn() -> T>);

impl<T, E> Returned<Result<T, E>> {
    /// Asks whether the `Ok` side is a response.
    pub fn success(self)
    where
        T: Responds,
    {
    }

    /// Asks whether the `Err` side is one.
    pub fn failure(self)
    where
        E: RespondsAsError,
    {
    }

    /// Asks the same of both sides.
    pub fn whole(self)
    where
        T: Responds,
        E: RespondsAsError,
    {
    }
}

impl<T, E: AnsweredOk> Returned<Result<T, E>> {
    /// Asks for what is never there, because the transaction of an error that is answered 200 is committed.
    pub fn rolls_back(self)
    where
        E: RollsBack,
    {
    }
}

/// Whatever is no `Result`, also where it is spelt like one.
pub trait AnyReturned<T>: Sized {
    /// Asks whether the value itself is a response.
    fn success(self)
    where
        T: Responds,
    {
    }

    /// Asks for nothing: there is no such side.
    fn failure(self) {}

    /// Asks whether the value itself is a response.
    fn whole(self)
    where
        T: Responds,
    {
    }

    /// Asks for nothing: there is no error, or one with a status of its own.
    fn rolls_back(self) {}
}

impl<T> AnyReturned<T> for Returned<T> {}

/// A response, or the `Ok` side of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "this is no response",
    note = "a handler returns what implements axum's `IntoResponse`, such as `StatusCode`, `String`, `Json<T>` of a `T` that \
            derives `serde::Serialize`, or a tuple `(StatusCode, Json<T>)`; a type of your own implements it, or goes into \
            `Json`"
)]
pub trait Responds {}

#[diagnostic::do_not_recommend]
impl<T: IntoResponse> Responds for T {}

/// The `Err` side of a response.
#[diagnostic::on_unimplemented(
    message = "the error `{Self}` is not a response",
    label = "this error is no response",
    note = "implement axum's `IntoResponse` for it, or return an error that does, such as `(StatusCode, &'static str)`, or a type \
            of yours with `impl IntoResponse`"
)]
pub trait RespondsAsError {}

// Through `Result`, because axum's own `ErrorResponse` is a response there alone.
#[diagnostic::do_not_recommend]
impl<E> RespondsAsError for E where Result<(), E>: IntoResponse {}

/// The `Err` side of a handler that runs in a transaction.
#[diagnostic::on_unimplemented(
    message = "an error of type `{Self}` is answered 200 OK, and its writes are committed",
    label = "this error has no status of its own",
    note = "return an error that has a status of its own, such as `(StatusCode, &'static str)`, or a type of yours with \
            `impl IntoResponse`"
)]
pub trait RollsBack {}

/// What axum answers with 200, whatever is in it.
pub trait AnsweredOk {}

impl AnsweredOk for () {}
impl AnsweredOk for String {}
impl AnsweredOk for Box<str> {}
impl AnsweredOk for &str {}
impl AnsweredOk for Cow<'_, str> {}
impl AnsweredOk for Vec<u8> {}
impl AnsweredOk for &[u8] {}
impl AnsweredOk for Bytes {}
impl AnsweredOk for Body {}
impl<T> AnsweredOk for Html<T> {}
impl<T> AnsweredOk for Json<T> {}
