use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use super::arguments::Arguments;
use super::reservation::RunsInTransaction;
use super::state::{FindsTransactions, ProvidesTransactions, TakesTransactional, TransactionalHandler};
use crate::engine::{StoreParticipant, TransactionSlot};
use crate::handle::{TakesPart, Tx};
use crate::http::guard::{ArrivingRequest, GuardedRequest};
use crate::http::response::{Problem, ProblemKind};
use crate::store::StoreDatabase;

/// [`Guarded`](super::Guarded), for a handler that has a [`Tx`] among its arguments: the handle that the state provides
/// must be one over a store of that database.
pub struct Transacted<A, R = (), const KEYED_BY_ARGUMENTS: bool = false, const BODY_LIMIT: usize = 0> {
    request: GuardedRequest,
    arguments: A,
    returned: PhantomData<fn() -> R>,
}

/// Passes `FromRequest`'s second parameter through to the last argument, and the place of the `Tx` out of them. It also
/// asks of the router's state what it must provide, where the compiler reports it well.
pub struct ViaTx<M, I, S: ProvidesTransactions<DB, H>, DB, H>(PhantomData<(M, I, S, DB, H)>);

/// The place of the one `Tx` among a handler's arguments.
pub struct At<const PLACE: usize>;

/// Arguments of which one is a `Tx`. `I` is inferred: it is the place.
#[diagnostic::on_unimplemented(
    message = "`transaction` needs a `Tx` to write with among the handler's arguments",
    label = "none of the arguments is a `Tx`",
    note = "take `mut tx: Tx<Postgres>` (or `Tx<Sqlite>`) and execute the handler's statements on `&mut *tx`; a handler \
            that writes nowhere needs no `transaction`"
)]
pub trait TakesTx<I> {
    /// The database of the `Tx`.
    type Database: TransactionalDatabase;
}

/// Implements it for each number of arguments, with the `Tx` at each place.
macro_rules! takes_tx {
    (@places [$($before:ident)*] $here:ident $($after:ident)*) => {
        #[diagnostic::do_not_recommend]
        impl<$($before,)* DB: TransactionalDatabase, $($after,)*> TakesTx<At<{ takes_tx!(@count $($before)*) }>>
            for ($($before,)* Tx<DB>, $($after,)*)
        {
            type Database = DB;
        }
        takes_tx!(@places [$($before)* $here] $($after)*);
    };
    (@places [$($before:ident)*]) => {};
    (@count) => { 0 };
    (@count $first:ident $($rest:ident)*) => { 1 + takes_tx!(@count $($rest)*) };
    ($first:ident $($rest:ident)*) => {
        takes_tx!(@places [] $first $($rest)*);
        takes_tx!($($rest)*);
    };
    () => {};
}

takes_tx!(T0 T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15);

impl<A, R, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize> Transacted<A, R, KEYED_BY_ARGUMENTS, BODY_LIMIT> {
    /// The guard and the arguments.
    pub fn into_parts(self) -> (GuardedRequest, A) {
        (self.request, self.arguments)
    }
}

impl<S, A, R, M, I, DB, H, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize>
    FromRequest<S, ViaTx<M, I, S, DB, H>> for Transacted<A, R, KEYED_BY_ARGUMENTS, BODY_LIMIT>
where
    A: Arguments<S, M> + TakesTx<I, Database = DB> + Send,
    DB: TransactionalDatabase,
    S: FindsTransactions<DB, H> + Send + Sync,
    TransactionalHandler: TakesTransactional<DB, H>,
{
    type Rejection = Response;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let handle = <TransactionalHandler as TakesTransactional<DB, H>>::taken(state.transactions());
        let (store, slot) = (Arc::clone(handle.store()), Arc::<TransactionSlot<DB::Transaction>>::default());
        request.extensions_mut().insert(Arc::clone(&slot));
        request.extensions_mut().insert(RunsInTransaction);
        let (arriving, request) = ArrivingRequest::prepare(handle.into(), request, KEYED_BY_ARGUMENTS, BODY_LIMIT);
        match A::extract(request, state).await {
            Ok(arguments) => {
                let request = DB::join(arriving.admit().await?, store, slot);
                Ok(Self { request, arguments, returned: PhantomData })
            }
            Err(rejection) => Err(arriving.reject(rejection)),
        }
    }
}

impl<S: Sync, DB: StoreDatabase> FromRequestParts<S> for Tx<DB> {
    type Rejection = Response;

    /// The transaction is not begun yet; the slot that it is put into is among the request's extensions.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        if let Some(slot) = parts.extensions.get::<Arc<TransactionSlot<DB::Transaction>>>() {
            return Ok(Self::new(Arc::clone(slot)));
        }
        tracing::error!("a `Tx` was asked for by a handler without `#[idempotent(transaction)]`");
        Err(Problem::without_handle(ProblemKind::NoReservation, &parts.headers).into_response())
    }
}

/// A database whose transactions a handler can take part in: Postgres and SQLite. It is what code that is generic over
/// the database of its [`Tx`](crate::Tx) asks for; nobody else can implement it. Its `Store` is the store that keeps
/// its records there.
///
/// ```
/// use cratestack_runtime::{Idempotency, TransactionalDatabase};
///
/// struct Shop<DB: TransactionalDatabase> {
///     idempotency: Idempotency<DB::Store>,
///     pool: sqlx::Pool<DB>,
/// }
/// # fn main() {}
/// ```
pub trait TransactionalDatabase: TakesPart {
    /// Lets a request's handler run in a transaction of the store's, handed over in the slot. Written out for each
    /// database, so that the engine behind it is compiled in this crate.
    #[doc(hidden)]
    fn join(
        request: GuardedRequest,
        store: Arc<Self::Store>,
        slot: Arc<TransactionSlot<Self::Transaction>>,
    ) -> GuardedRequest;
}

macro_rules! joins {
    ($database:ty) => {
        impl TransactionalDatabase for $database {
            fn join(
                request: GuardedRequest,
                store: Arc<Self::Store>,
                slot: Arc<TransactionSlot<Self::Transaction>>,
            ) -> GuardedRequest {
                request.in_transaction_of(Arc::new(StoreParticipant { store, slot }))
            }
        }
    };
}

#[cfg(feature = "postgres")]
joins!(sqlx::Postgres);
#[cfg(feature = "sqlite")]
joins!(sqlx::Sqlite);
