use std::marker::PhantomData;

use axum::extract::{FromRequest, Request};
use axum::response::Response;

use super::arguments::Arguments;
use super::state::{FindsHandle, LeasedHandler, ProvidesHandle, Takes};
use crate::http::guard::{ArrivingRequest, GuardedRequest};

/// A handler's arguments `A` (a tuple of extractors), together with the guard that its body will run under.
///
/// `R` is what a handler that others see returns, so that the compiler takes for used what they reach through it.
///
/// What must be known before the body is read stands in the type: whether the key comes from the arguments and not from
/// the header, and the attribute's bound on the body, where 0 is none.
pub struct Guarded<A, R = (), const KEYED_BY_ARGUMENTS: bool = false, const BODY_LIMIT: usize = 0> {
    request: GuardedRequest,
    arguments: A,
    returned: PhantomData<fn() -> R>,
}

/// Passes `FromRequest`'s second parameter through to the last argument, so that one impl serves whatever that is. It
/// also asks of the router's state what it must provide, where the compiler reports it well.
pub struct Via<M, S: ProvidesHandle<H>, H>(PhantomData<(M, S, H)>);

impl<A, R, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize> Guarded<A, R, KEYED_BY_ARGUMENTS, BODY_LIMIT> {
    /// The guard and the arguments.
    pub fn into_parts(self) -> (GuardedRequest, A) {
        (self.request, self.arguments)
    }
}

impl<S, A, R, M, H, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize> FromRequest<S, Via<M, S, H>>
    for Guarded<A, R, KEYED_BY_ARGUMENTS, BODY_LIMIT>
where
    A: Arguments<S, M> + Send,
    S: FindsHandle<H> + Send + Sync,
    LeasedHandler: Takes<H>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let (arriving, request) =
            ArrivingRequest::prepare(LeasedHandler::taken(state.handle()), request, KEYED_BY_ARGUMENTS, BODY_LIMIT);
        match A::extract(request, state).await {
            Ok(arguments) => Ok(Self { request: arriving.admit().await?, arguments, returned: PhantomData }),
            Err(rejection) => Err(arriving.reject(rejection)),
        }
    }
}
