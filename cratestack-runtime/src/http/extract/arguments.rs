use std::future::Future;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};

/// All arguments of a handler, extracted as axum extracts them: in order, the last one with the request's body, and the
/// first rejection is the answer.
///
/// axum has the same for tuples, but for a last argument of one kind only: one whose extraction takes the body under
/// axum's own marker. A type may implement `FromRequest` under any other (`impl FromRequest<App, Body> for Doc`), which
/// is `M` here.
pub trait Arguments<S, M>: Sized {
    /// The arguments, or the answer of the extractor that rejects the request.
    fn extract(request: Request, state: &S) -> impl Future<Output = Result<Self, Response>> + Send;
}

/// The marker of a handler without arguments.
pub struct NoArguments;

#[diagnostic::do_not_recommend]
impl<S: Sync> Arguments<S, NoArguments> for () {
    async fn extract(_: Request, _: &S) -> Result<Self, Response> {
        Ok(())
    }
}

macro_rules! arguments {
    ([$($leading:ident)*] $last:ident) => {
        #[diagnostic::do_not_recommend]
        impl<S, M, $($leading,)* $last> Arguments<S, M> for ($($leading,)* $last,)
        where
            $($leading: FromRequestParts<S> + Send,)*
            $last: FromRequest<S, M> + Send,
            S: Send + Sync,
        {
            #[allow(non_snake_case, unused_mut)]
            fn extract(request: Request, state: &S) -> impl Future<Output = Result<Self, Response>> + Send {
                let (mut parts, body) = request.into_parts();
                async move {
                    $(
                        let $leading = match $leading::from_request_parts(&mut parts, state).await {
                            Ok(extracted) => extracted,
                            Err(rejection) => return Err(rejection.into_response()),
                        };
                    )*
                    match $last::from_request(Request::from_parts(parts, body), state).await {
                        Ok($last) => Ok(($($leading,)* $last,)),
                        Err(rejection) => Err(rejection.into_response()),
                    }
                }
            }
        }
    };
}

/// Implements it for each number of arguments.
macro_rules! all_numbers {
    ([$($leading:ident)*] $next:ident $($rest:ident)*) => {
        arguments!([$($leading)*] $next);
        all_numbers!([$($leading)* $next] $($rest)*);
    };
    ([$($leading:ident)*]) => {};
}

all_numbers!([] T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15 T16);
