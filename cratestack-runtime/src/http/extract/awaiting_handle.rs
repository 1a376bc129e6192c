//! A handler with `handle = EXPR` takes its handle from its own arguments, where others find it in the router's state.
//!
//! ```text
//! AwaitingHandle::from_request   the head is read, the leading arguments are extracted; no byte of the body is read
//! generated code                 evaluates EXPR over them, by reference
//! AwaitingHandle::run            under that handle: the last argument is extracted, the rest of the body is read;
//!                                the attribute's other expressions; the handler, guarded
//! ```
//!
//! The last argument is extracted with the router's state, after axum has taken its reference to it back, so what is
//! left to do has the state by value. Its type is the router's, which the generated function cannot name: that is the
//! one box that a request costs more than with a handle of the state's. The handler's run would be boxed anyhow, and
//! takes the extraction into its box.

use std::marker::PhantomData;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};

use super::leading::{LeadingArguments, Split};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use super::reservation::RunsInTransaction;
use super::reservation::tell_of_no_transactions;
use super::state::LeasedHandler;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use super::state::TransactionalHandler;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use super::transacted::{TakesTx, TransactionalDatabase};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::engine::TransactionSlot;
use crate::handle::{FoundHandle, Options};
use crate::http::guard::{ArrivingRequest, GuardedRequest, KeySource, RequestHead, body_bound};
use crate::http::response::ProblemKind;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::http::work::Attempts;
use crate::http::work::Work;

/// A handler's arguments `A` (a tuple of extractors) but for those that are extracted under the handle, which is yet to
/// be taken from the others.
///
/// `K` is how the handler runs: [`LeasedHandler`] or [`TransactionalHandler`]. `R` is what a handler that others see
/// returns, so that the compiler takes for used what they reach through it. `WHOLE` is whether the expression names the
/// last argument too; the other constants are those of [`Guarded`](super::Guarded).
pub struct AwaitingHandle<
    K,
    A: Split<WHOLE>,
    const WHOLE: bool,
    R = (),
    const KEYED_BY_ARGUMENTS: bool = false,
    const BODY_LIMIT: usize = 0,
> {
    leading: A::Leading,
    rest: Box<dyn Rest<A, WHOLE>>,
    marker: PhantomData<fn() -> (K, R)>,
}

impl<K, A: Split<WHOLE>, const WHOLE: bool, R, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize>
    AwaitingHandle<K, A, WHOLE, R, KEYED_BY_ARGUMENTS, BODY_LIMIT>
{
    /// What the handle is taken from.
    pub fn leading(&self) -> &A::Leading {
        &self.leading
    }

    /// Goes on under the handle. `then` evaluates the attribute's other expressions over all arguments, and makes the
    /// handler's work of them.
    pub fn run(
        self,
        handle: FoundHandle,
        then: impl FnOnce(GuardedRequest, A) -> PreparedRun + Send + 'static,
    ) -> Work {
        // As a rule the closure captures nothing, and its box is free.
        self.rest.run(self.leading, handle, Box::new(then))
    }
}

/// A guarded request, and the handler that is to run for it.
pub struct PreparedRun {
    request: GuardedRequest,
    options: Options,
    handler: PreparedHandler,
}

enum PreparedHandler {
    Leased(Work),
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    InTransaction(Attempts),
}

impl PreparedRun {
    /// Under a lease.
    pub fn leased(request: GuardedRequest, options: Options, handler: Work) -> Self {
        Self { request, options, handler: PreparedHandler::Leased(handler) }
    }

    /// In a transaction.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub fn in_transaction(request: GuardedRequest, options: Options, attempts: Attempts) -> Self {
        Self { request, options, handler: PreparedHandler::InTransaction(attempts) }
    }

    async fn run(self) -> Response {
        let Self { request, options, handler } = self;
        match handler {
            PreparedHandler::Leased(handler) => request.run(options, handler).await,
            #[cfg(any(feature = "postgres", feature = "sqlite"))]
            PreparedHandler::InTransaction(attempts) => request.run_in_transaction(options, attempts).await,
        }
    }
}

type Then<A> = Box<dyn FnOnce(GuardedRequest, A) -> PreparedRun + Send>;

/// What is left to do for a request, whatever the router's state is.
trait Rest<A: Split<WHOLE>, const WHOLE: bool>: Send {
    fn run(self: Box<Self>, leading: A::Leading, handle: FoundHandle, then: Then<A>) -> Work;
}

/// The request, its leading arguments taken. `J` is what the handler's run joins; `M` is what axum knows the last
/// argument's implementation by.
struct RemainingExtraction<S, J, M, const BODY_LIMIT: usize> {
    head: RequestHead,
    request: Request,
    state: S,
    joins: J,
    marker: PhantomData<fn() -> M>,
}

impl<S, J, A, M, const WHOLE: bool, const BODY_LIMIT: usize> Rest<A, WHOLE> for RemainingExtraction<S, J, M, BODY_LIMIT>
where
    A: Split<WHOLE, Leading: Send, Last: FromRequest<S, M> + Send> + 'static,
    S: Send + Sync + 'static,
    J: Joins,
{
    fn run(self: Box<Self>, leading: A::Leading, handle: FoundHandle, then: Then<A>) -> Work {
        let Self { head, request, state, joins, .. } = *self;
        Box::pin(async move {
            let join = joins.under(&handle);
            let bound = body_bound(&handle.idempotency, BODY_LIMIT);
            let (arriving, request) = head.under(handle.idempotency, request, bound);
            let join = match join {
                Ok(join) => join,
                Err(refuse) => return refuse(arriving),
            };
            if let Some(reservation) = arriving.unmet_need() {
                tell_of_no_transactions(reservation);
                return arriving.refuse(ProblemKind::NoReservation);
            }
            let last = match A::Last::from_request(request, &state).await {
                Ok(last) => last,
                Err(rejection) => return arriving.reject(rejection.into_response()),
            };
            drop(state);
            match arriving.admit().await {
                Ok(request) => then(J::join(request, join), A::join(leading, last)).run().await,
                Err(refused) => refused,
            }
        })
    }
}

/// What a handler's run takes part in, once its handle is known.
trait Joins: Send + 'static {
    type Joined: Send;

    fn under(self, handle: &FoundHandle) -> Result<Self::Joined, fn(ArrivingRequest) -> Response>;

    fn join(request: GuardedRequest, joined: Self::Joined) -> GuardedRequest;
}

struct Nothing;

impl Joins for Nothing {
    type Joined = ();

    fn under(self, _: &FoundHandle) -> Result<(), fn(ArrivingRequest) -> Response> {
        Ok(())
    }

    fn join(request: GuardedRequest, (): ()) -> GuardedRequest {
        request
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
struct TransactionOf<DB: TransactionalDatabase>(Arc<TransactionSlot<DB::Transaction>>);

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl<DB: TransactionalDatabase> Joins for TransactionOf<DB> {
    type Joined = (Arc<DB::Store>, Arc<TransactionSlot<DB::Transaction>>);

    fn under(self, handle: &FoundHandle) -> Result<Self::Joined, fn(ArrivingRequest) -> Response> {
        let store = handle.store::<DB::Store>();
        store.map(|store| (store, self.0)).ok_or(|arriving| {
            tracing::error!(
                "the `handle = …` of a handler with `transaction` has no transactions of the database of its `Tx`: name \
                 an `Idempotency<{}>`, which `Idempotency::transactional` makes",
                std::any::type_name::<DB::Store>()
            );
            arriving.refuse(ProblemKind::NoReservation)
        })
    }

    fn join(request: GuardedRequest, (store, slot): Self::Joined) -> GuardedRequest {
        DB::join(request, store, slot)
    }
}

/// Passes `FromRequest`'s second parameter through to the last argument.
pub struct ViaHandle<M>(PhantomData<M>);

/// The same, and the place of the `Tx` out of all arguments.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub struct ViaHandleTx<M, I, DB>(PhantomData<(M, I, DB)>);

impl<S, A, R, M, const WHOLE: bool, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize>
    FromRequest<S, ViaHandle<M>> for AwaitingHandle<LeasedHandler, A, WHOLE, R, KEYED_BY_ARGUMENTS, BODY_LIMIT>
where
    A: Split<WHOLE, Leading: LeadingArguments<S> + Send, Last: FromRequest<S, M> + Send> + 'static,
    M: 'static,
    S: Clone + Send + Sync + 'static,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        begin::<_, _, A, M, WHOLE, BODY_LIMIT>(request, state, Nothing, KEYED_BY_ARGUMENTS)
            .await
            .map(|(leading, rest)| Self { leading, rest, marker: PhantomData })
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl<S, A, R, M, I, DB, const WHOLE: bool, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize>
    FromRequest<S, ViaHandleTx<M, I, DB>>
    for AwaitingHandle<TransactionalHandler, A, WHOLE, R, KEYED_BY_ARGUMENTS, BODY_LIMIT>
where
    A: Split<WHOLE, Leading: LeadingArguments<S> + Send, Last: FromRequest<S, M> + Send> + 'static,
    A: TakesTx<I, Database = DB>,
    DB: TransactionalDatabase,
    M: 'static,
    S: Clone + Send + Sync + 'static,
{
    type Rejection = Response;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let slot = Arc::<TransactionSlot<DB::Transaction>>::default();
        request.extensions_mut().insert(Arc::clone(&slot));
        request.extensions_mut().insert(RunsInTransaction);
        begin::<_, _, A, M, WHOLE, BODY_LIMIT>(request, state, TransactionOf::<DB>(slot), KEYED_BY_ARGUMENTS)
            .await
            .map(|(leading, rest)| Self { leading, rest, marker: PhantomData })
    }
}

type Begun<A, const WHOLE: bool> = (<A as Split<WHOLE>>::Leading, Box<dyn Rest<A, WHOLE>>);

/// All that can be done without the handle.
async fn begin<S, J, A, M, const WHOLE: bool, const BODY_LIMIT: usize>(
    request: Request,
    state: &S,
    joins: J,
    keyed_by_arguments: bool,
) -> Result<Begun<A, WHOLE>, Response>
where
    A: Split<WHOLE, Leading: LeadingArguments<S> + Send, Last: FromRequest<S, M> + Send> + 'static,
    J: Joins,
    M: 'static,
    S: Clone + Send + Sync + 'static,
{
    let (mut parts, body) = request.into_parts();
    let head = RequestHead::read(&mut parts, KeySource::of(keyed_by_arguments), None);
    let leading = A::Leading::extract(&mut parts, state).await?;
    let (request, state) = (Request::from_parts(parts, body), state.clone());
    let rest = RemainingExtraction::<S, J, M, BODY_LIMIT> { head, request, state, joins, marker: PhantomData };
    Ok((leading, Box::new(rest)))
}
