use std::collections::HashMap;
use std::marker::PhantomData;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, FromRequest, FromRequestParts, Path, Request, State};
#[cfg(feature = "macros")]
use axum::extract::{Form, Json, Query};

use uuid::Uuid;

use crate::handle::{Idempotency, Reservation};
use crate::http::ProvidesHandle;

/// An argument of a handler whose router's state is not known. What is asked here holds for every state.
pub struct Argument<T>(PhantomData<fn() -> T>);

/// An argument of a handler on a router with the state `S`, which `state = S` names.
pub struct ArgumentOf<T, S>(PhantomData<fn() -> (T, S)>);

/// Without a state there is nothing to ask of most types.
pub trait AnyArgument {
    /// An argument that others follow.
    fn leading() {}

    /// The last one.
    fn last() {}

    /// The last one, which `handle = …` names.
    fn before_the_body() {}
}

impl<T> AnyArgument for Argument<T> {}

/// With one, everything is an extractor or is not.
pub trait AnyArgumentOf<T, S> {
    /// An argument that others follow.
    fn leading()
    where
        T: PartsExtractor<S>,
    {
    }

    /// The last one.
    fn last<M>()
    where
        T: Extractor<S, M>,
    {
    }
}

impl<T, S> AnyArgumentOf<T, S> for ArgumentOf<T, S> {}

/// An argument that wants the whole request. With no impl for any state, the compiler knows the answer also where the
/// state is left open; where somebody wrote the one impl for a state of his own, it is found.
macro_rules! consumer {
    ([$($generic:ident),*] $ty:ty) => {
        impl<$($generic),*> Argument<$ty> {
            /// An argument that others follow.
            pub fn leading<S>() where $ty: LeavesTheBody<S> {}

            /// The last one, which `handle = …` names.
            pub fn before_the_body<S>() where $ty: KnownBeforeTheBody<S> {}
        }

        impl<$($generic,)* S> ArgumentOf<$ty, S> {
            /// An argument that others follow.
            pub fn leading() where $ty: LeavesTheBody<S> {}
        }
    };
}

/// A body that is read as a type of the user's.
#[cfg(feature = "macros")]
macro_rules! content {
    ($body:ident) => {
        impl<T> Argument<$body<T>> {
            /// The last argument.
            pub fn last<M>()
            where
                $body<T>: DeserializesBody<(), M>,
            {
            }
        }

        impl<T, S> ArgumentOf<$body<T>, S> {
            /// The last argument.
            pub fn last<M>()
            where
                $body<T>: DeserializesBody<S, M>,
            {
            }
        }
    };
}

/// A part of the request, and what it asks of its content.
macro_rules! part {
    ($part:ident: $question:ident) => {
        impl<T> Argument<$part<T>> {
            /// An argument that others follow.
            pub fn leading() where $part<T>: $question<()> {}

            /// The last argument.
            pub fn last() where $part<T>: $question<()> {}
        }

        part_of!($part: $question);
    };
}

macro_rules! part_of {
    ($part:ident: $question:ident) => {
        impl<T, S> ArgumentOf<$part<T>, S> {
            /// An argument that others follow.
            pub fn leading()
            where
                $part<T>: $question<S>,
            {
            }

            /// The last argument.
            pub fn last()
            where
                $part<T>: $question<S>,
            {
            }
        }
    };
}

/// A value that belongs into an extractor. Its state is left open as in `consumer`.
macro_rules! value {
    ($value:ident $(<$($generic:ident),+>)?) => {
        impl $(<$($generic),+>)? Argument<$value $(<$($generic),+>)?> {
            /// An argument that others follow.
            pub fn leading<S>()
            where
                $value $(<$($generic),+>)?: PartsValue<S>,
            {
            }

            /// The last argument.
            pub fn last<S, M>()
            where
                $value $(<$($generic),+>)?: ValueExtractor<S, M>,
            {
            }
        }
    };
}

// One invocation a type: the compiler shows it below the error.
consumer!([] Body);
consumer!([] Bytes);
consumer!([E] Result<Bytes, E>);
consumer!([] Request);
consumer!([] String);
consumer!([E] Result<String, E>);
#[cfg(feature = "macros")]
consumer!([T] Json<T>);
#[cfg(feature = "macros")]
consumer!([T] Option<Json<T>>);
#[cfg(feature = "macros")]
consumer!([T, E] Result<Json<T>, E>);
#[cfg(feature = "macros")]
consumer!([T] Form<T>);
#[cfg(feature = "macros")]
consumer!([T, E] Result<Form<T>, E>);

#[cfg(feature = "macros")]
content!(Json);
#[cfg(feature = "macros")]
content!(Form);

part!(Path: DeserializesPart);
#[cfg(feature = "macros")]
part!(Query: DeserializesPart);
part!(Extension: ClonesExtension);
// A part of which state, only `state = …` tells.
part_of!(State: Substate);

value!(bool);
value!(char);
value!(u8);
value!(u16);
value!(u32);
value!(u64);
value!(u128);
value!(usize);
value!(i8);
value!(i16);
value!(i32);
value!(i64);
value!(i128);
value!(isize);
value!(f32);
value!(f64);
value!(Uuid);
value!(Vec<T>);
value!(HashMap<K, V, H>);

/// Any argument but the last.
#[diagnostic::on_unimplemented(
    message = "`{Self}` takes the request's body, and another argument follows it",
    label = "this must be the last argument",
    note = "move it to the end; where two arguments want the body, take it once, as one type that holds both"
)]
pub trait LeavesTheBody<S> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequestParts<S>, S> LeavesTheBody<S> for T {}

/// The last argument, where `handle = …` names it.
#[diagnostic::on_unimplemented(
    message = "`handle` is taken from an argument that reads the request's body, a `{Self}`",
    label = "the handle must be known before the body is read",
    note = "take the handle from another argument, such as `State(app): State<App>` with `handle = app.idempotency`; what \
            the body has to say can be part of `key`, `principal` and `fingerprint`"
)]
pub trait KnownBeforeTheBody<S> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequestParts<S>, S> KnownBeforeTheBody<S> for T {}

/// Asks it with the state that `state = S` names.
pub fn known_before_the_body<T: KnownBeforeTheBody<S>, S>() {}

/// `Json<T>` and `Form<T>`
#[cfg(feature = "macros")]
#[diagnostic::on_unimplemented(
    message = "the content of `{Self}` cannot be read from a body",
    label = "the type in it is not `Deserialize`",
    note = "write `#[derive(serde::Deserialize)]` on that type; what it holds must be owned"
)]
pub trait DeserializesBody<S, M> {}

#[cfg(feature = "macros")]
#[diagnostic::do_not_recommend]
impl<T: FromRequest<S, M>, S, M> DeserializesBody<S, M> for T {}

/// `Path<T>` and `Query<T>`
#[diagnostic::on_unimplemented(
    message = "the content of `{Self}` cannot be read from the request",
    label = "the type in it is not `Deserialize`",
    note = "write `#[derive(serde::Deserialize)]` on that type; what it holds must be owned"
)]
pub trait DeserializesPart<S> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequestParts<S>, S> DeserializesPart<S> for T {}

/// `Extension<T>`
#[diagnostic::on_unimplemented(
    message = "the content of `{Self}` cannot be taken from the request",
    label = "the type in it is not `Clone + Send + Sync`",
    note = "write `#[derive(Clone)]` on that type, or extract `Extension<Arc<…>>` of it"
)]
pub trait ClonesExtension<S> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequestParts<S>, S> ClonesExtension<S> for T {}

/// `State<T>`
#[diagnostic::on_unimplemented(
    message = "the state `{S}` does not provide `{Self}`",
    label = "this is no part of `{S}`",
    note = "add a field of that type to `{S}` and derive axum's `FromRef`, or implement `FromRef<{S}>` for it"
)]
pub trait Substate<S> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequestParts<S>, S> Substate<S> for T {}

/// A plain value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an extractor",
    label = "axum cannot take this from a request",
    note = "write `Path<{Self}>` to take it from the path; or name it in a struct that derives `serde::Deserialize`, and \
            take that as `Query<…>` or `Json<…>`"
)]
pub trait ValueExtractor<S, M> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequest<S, M>, S, M> ValueExtractor<S, M> for T {}

/// A plain value that other arguments follow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an extractor",
    label = "axum cannot take this from a request",
    note = "write `Path<{Self}>` to take it from the path; or name it in a struct that derives `serde::Deserialize`, and \
            take that as `Query<…>` or `Json<…>`"
)]
pub trait PartsValue<S> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequestParts<S>, S> PartsValue<S> for T {}

/// Any argument but the last, on a router with the state `S`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an extractor that other arguments can follow, with the state `{S}`",
    label = "axum cannot take this from the head of a request",
    note = "where it is the content of a body, path or query, write `Json<…>`, `Path<…>` or `Query<…>`; where it takes the \
            body itself, move it to the end; a type of your own implements `FromRequestParts`"
)]
pub trait PartsExtractor<S> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequestParts<S>, S> PartsExtractor<S> for T {}

/// The last argument, on a router with the state `S`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an extractor, with the state `{S}`",
    label = "axum cannot take this from a request",
    note = "where it is the content of a body, path or query, write `Json<…>`, `Path<…>` or `Query<…>`; a type of your own \
            implements `FromRequestParts`, or `FromRequest` where it takes the body"
)]
pub trait Extractor<S, M> {}

#[diagnostic::do_not_recommend]
impl<T: FromRequest<S, M>, S, M> Extractor<S, M> for T {}

/// `state = App`
pub fn state_provides_idempotency<S: ProvidesHandle<Idempotency>>() {}

/// An argument of a request whose `key = …` has come to nothing, and which runs unguarded if `optional` lets it.
pub struct Keyless<'a, T>(pub &'a mut T);

/// Most arguments have no reservation to be taken.
pub trait AnyKeyless: Sized {
    /// The argument stays as it is.
    fn unreserved(self) {}
}

impl<T> AnyKeyless for Keyless<'_, T> {}

impl<K> Keyless<'_, Option<Reservation<K>>> {
    /// The reservation was given before it was known that there is none.
    pub fn unreserved(self) {
        *self.0 = None;
    }
}
