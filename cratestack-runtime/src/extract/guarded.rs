use std::marker::PhantomData;

use axum::extract::{FromRef, FromRequest, Request};
use axum::response::{IntoResponse, Response};

use crate::http::{Call, Idempotency};

/// A handler's arguments `A` (a tuple of extractors), together with the guard that its body will run under.
#[derive(Debug)]
pub struct Guarded<A> {
    call: Call,
    arguments: A,
}

/// Passes `FromRequest`'s second parameter through to the tuple, so that one impl serves tuples that end in a body
/// extractor and tuples that do not.
#[derive(Debug)]
pub struct Via<M>(PhantomData<M>);

impl<A> Guarded<A> {
    /// The guard and the arguments.
    pub fn into_parts(self) -> (Call, A) {
        (self.call, self.arguments)
    }
}

impl<S, A, M> FromRequest<S, Via<M>> for Guarded<A>
where
    A: FromRequest<S, M>,
    Idempotency: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let (call, request) = Call::prepare(Idempotency::from_ref(state), request).await?;
        let arguments = A::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self { call, arguments })
    }
}
