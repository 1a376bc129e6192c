//! Each check is one bound, and its message is in the user's words.

use std::collections::HashMap;
use std::future::Future;
use std::marker::PhantomData;

use axum::Extension;
use axum::extract::{FromRef, FromRequest, FromRequestParts};
#[cfg(feature = "macros")]
use axum::extract::{Path, Query};
use axum::response::IntoResponse;
#[cfg(feature = "macros")]
use axum::{Form, Json};

use crate::Idempotency;

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
impl<S> ProvidesIdempotency for S where Idempotency: FromRef<S> {}

/// The return type of an `async fn`.
pub fn returns_a_response<T: IsResponse>() {}

/// The output of an `async fn` whose return type has no name.
pub fn gives_a_response<F: Future<Output: IsResponse>>(_: F) {}

/// The result of a plain `fn`.
pub fn gives_a_future<F: IsHandlerFuture>(_: F) {}

/// The future of any handler.
pub fn is_send<F: Send>(_: F) {}

/// What a handler can return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "not a response",
    note = "a handler returns something that implements axum's `IntoResponse`, such as `Json<T>`, `(StatusCode, String)` \
            or, for a `Result`, two of them"
)]
pub trait IsResponse {}

#[diagnostic::do_not_recommend]
impl<T: IntoResponse> IsResponse for T {}

/// What the call of a handler gives.
#[diagnostic::on_unimplemented(
    message = "an idempotent handler is an `async fn`, or a `fn` that returns a future of a response",
    label = "`{Self}` is no future of a response",
    note = "write `async fn`, or return `impl Future<Output = …> + Send`"
)]
pub trait IsHandlerFuture {}

#[diagnostic::do_not_recommend]
impl<F: Future<Output: IntoResponse>> IsHandlerFuture for F {}

/// An argument of the type `T`; of some types it can be said whatever the router's state is whether they are extractors.
#[derive(Debug)]
pub struct Argument<T>(PhantomData<T>);

impl<T> Argument<T> {
    /// Of a type alone.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// Of all other types nothing is said.
pub trait Unchecked: Sized {
    /// Passes.
    fn can_be_taken(self) {}
    /// Passes.
    fn leaves_the_body(self) {}
}

impl<T> Unchecked for Argument<T> {}

/// What axum can take from a request.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an extractor",
    label = "axum cannot take this from a request",
    note = "say where it comes from: `Path<{Self}>`, `Query<…>`, `Json<…>`, `State<{Self}>`, or an extractor of your own"
)]
pub trait IsExtractor {}

/// What is never one, whatever the state. A type that is not listed is not judged.
pub trait NeverExtractor {}

macro_rules! never_extractors {
    ($($ty:ty),* $(,)?) => {$( impl NeverExtractor for $ty {} )*};
}

never_extractors!(bool, char, f32, f64, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

impl<T> NeverExtractor for Vec<T> {}
impl<K, V, S> NeverExtractor for HashMap<K, V, S> {}

impl<T: NeverExtractor> Argument<T> {
    /// Fails.
    pub fn can_be_taken(self)
    where
        T: IsExtractor,
    {
    }
}

macro_rules! content_decides {
    ($($(#[$meta:meta])* $extractor:ident: $bound:path;)*) => {$(
        $(#[$meta])*
        impl<T> Argument<$extractor<T>> {
            /// Passes where axum can fill `T`.
            pub fn can_be_taken(self) where $extractor<T>: $bound {}
        }
    )*};
}

content_decides! {
    #[cfg(feature = "macros")] Json: FromRequest<()>;
    #[cfg(feature = "macros")] Form: FromRequest<()>;
    #[cfg(feature = "macros")] Query: FromRequestParts<()>;
    #[cfg(feature = "macros")] Path: FromRequestParts<()>;
    Extension: FromRequestParts<()>;
}

/// What can stand before the last argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` reads the body, so it must be the last argument",
    label = "only the last argument can read the body",
    note = "move it to the end; a handler with two of these takes the body once, for example as `Bytes`, and parses it itself"
)]
pub trait LeavesTheBody {}

/// What reads the body, of the types that are known here.
pub trait ReadsTheBody {}

#[cfg(feature = "macros")]
impl<T> ReadsTheBody for Json<T> {}
#[cfg(feature = "macros")]
impl<T> ReadsTheBody for Form<T> {}
impl ReadsTheBody for String {}
impl ReadsTheBody for bytes::Bytes {}
impl ReadsTheBody for axum::body::Body {}
impl ReadsTheBody for axum::extract::Request {}

impl<T: ReadsTheBody> Argument<T> {
    /// Fails.
    pub fn leaves_the_body(self)
    where
        T: LeavesTheBody,
    {
    }
}

/// `state = S`: every argument but the last.
pub fn is_part_of_a_request<S, T: FromRequestParts<S>>() {}

/// `state = S`: the last argument.
pub fn is_request<S, T: FromRequest<S, M>, M>() {}
