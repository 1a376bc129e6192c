use std::marker::PhantomData;

use axum::extract::{FromRequest, Request};
use axum::response::Response;

use super::arguments::Arguments;
use super::state::{FindsTransactions, ProvidesTransactions, TakesTransactional, TransactionalHandler};
use crate::http::guard::{ArrivingRequest, GuardedRequest};
use crate::store::StoreDatabase;

/// [`Guarded`](super::Guarded), for a handler that has a `Reservation<DB>` among its arguments, whose steps may be
/// transactions: the handle that the state provides must be one over a store of that database.
pub struct GuardedOver<DB, A, R = (), const KEYED_BY_ARGUMENTS: bool = false, const BODY_LIMIT: usize = 0> {
    request: GuardedRequest,
    arguments: A,
    returned: PhantomData<fn() -> (DB, R)>,
}

/// Passes `FromRequest`'s second parameter through to the last argument. It also asks of the router's state what it must
/// provide, where the compiler reports it well.
pub struct ViaOver<M, S: ProvidesTransactions<DB, H>, DB, H>(PhantomData<(M, S, DB, H)>);

impl<DB, A, R, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize>
    GuardedOver<DB, A, R, KEYED_BY_ARGUMENTS, BODY_LIMIT>
{
    /// The guard and the arguments.
    pub fn into_parts(self) -> (GuardedRequest, A) {
        (self.request, self.arguments)
    }
}

impl<S, DB, A, R, M, H, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize> FromRequest<S, ViaOver<M, S, DB, H>>
    for GuardedOver<DB, A, R, KEYED_BY_ARGUMENTS, BODY_LIMIT>
where
    A: Arguments<S, M> + Send,
    DB: StoreDatabase,
    S: FindsTransactions<DB, H> + Send + Sync,
    TransactionalHandler: TakesTransactional<DB, H>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let handle = <TransactionalHandler as TakesTransactional<DB, H>>::taken(state.transactions());
        let (arriving, request) = ArrivingRequest::prepare(handle.into(), request, KEYED_BY_ARGUMENTS, BODY_LIMIT);
        match A::extract(request, state).await {
            Ok(arguments) => Ok(Self { request: arriving.admit().await?, arguments, returned: PhantomData }),
            Err(rejection) => Err(arriving.reject(rejection)),
        }
    }
}
