use std::any::Any;
use std::future::Future;

use axum::extract::FromRequestParts;
use axum::extract::rejection::ExtensionRejection;
use axum::response::{IntoResponse, Response};
use http::request::Parts;

/// A handler's arguments: those that are extracted before its handle is known, because the handle is taken from them,
/// and the one that is extracted afterwards, because it may take the request's body.
///
/// With `WHOLE` all are extracted before, because the expression names the last one too.
pub trait Split<const WHOLE: bool>: Sized {
    /// What is extracted before the handle is known.
    type Leading;
    /// What is extracted afterwards; `()` where nothing is left.
    type Last;

    /// All of them, as the handler takes them.
    fn join(leading: Self::Leading, last: Self::Last) -> Self;
}

/// Arguments of which none takes the request's body, extracted in order.
///
/// axum has the same for tuples; this one tells the operator of an extension that is missing.
pub trait LeadingArguments<S>: Sized {
    /// The arguments, or the answer of the extractor that rejects the request.
    fn extract(parts: &mut Parts, state: &S) -> impl Future<Output = Result<Self, Response>> + Send;
}

impl<const WHOLE: bool> Split<WHOLE> for () {
    type Leading = ();
    type Last = ();

    fn join((): (), (): ()) {}
}

#[diagnostic::do_not_recommend]
impl<S: Sync> LeadingArguments<S> for () {
    async fn extract(_: &mut Parts, _: &S) -> Result<Self, Response> {
        Ok(())
    }
}

macro_rules! split {
    ([$($leading:ident)*] $last:ident) => {
        impl<$($leading,)* $last> Split<false> for ($($leading,)* $last,) {
            type Leading = ($($leading,)*);
            type Last = $last;

            #[allow(non_snake_case)]
            fn join(($($leading,)*): Self::Leading, last: Self::Last) -> Self {
                ($($leading,)* last,)
            }
        }

        impl<$($leading,)* $last> Split<true> for ($($leading,)* $last,) {
            type Leading = Self;
            type Last = ();

            fn join(leading: Self, (): ()) -> Self {
                leading
            }
        }

        #[diagnostic::do_not_recommend]
        impl<S, $($leading,)* $last> LeadingArguments<S> for ($($leading,)* $last,)
        where
            $($leading: FromRequestParts<S> + Send + 'static,)*
            $last: FromRequestParts<S> + Send + 'static,
            S: Send + Sync + 'static,
        {
            #[allow(non_snake_case)]
            async fn extract(parts: &mut Parts, state: &S) -> Result<Self, Response> {
                $(
                    let $leading = match $leading::from_request_parts(parts, state).await {
                        Ok(extracted) => extracted,
                        Err(rejection) => return Err(rejected(rejection)),
                    };
                )*
                match $last::from_request_parts(parts, state).await {
                    Ok($last) => Ok(($($leading,)* $last,)),
                    Err(rejection) => Err(rejected(rejection)),
                }
            }
        }
    };
}

/// Implements it for each number of arguments.
macro_rules! all_numbers {
    ([$($leading:ident)*] $next:ident $($rest:ident)*) => {
        split!([$($leading)*] $next);
        all_numbers!([$($leading)* $next] $($rest)*);
    };
    ([$($leading:ident)*]) => {};
}

all_numbers!([] T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15 T16);

/// The answer is the extractor's own. Where the service lacks a layer, only its operator can do something about it.
fn rejected<R: IntoResponse + 'static>(rejection: R) -> Response {
    let any: &dyn Any = &rejection;
    if let Some(missing) = any.downcast_ref::<ExtensionRejection>() {
        tracing::error!(
            "an argument of a handler with `handle = …` is missing, and so is its handle: {missing}. Put the layer \
             `axum::Extension(…)` with a value of that type around the route, after it is added to the router"
        );
    }
    rejection.into_response()
}
