//! What generated code names where the attribute says `transaction`, beside the rest.

use std::error::Error;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Response};

use super::argument::{Argument, ArgumentOf};
use super::causes::cause_of;
use super::handling::{CallOutput, Handling, never, refused};
use super::repeat::Repeat;
use super::returned::Returned;
use crate::handle::{FailureCause, HasNoSteps, HasSteps, Idempotency, Options, Tx};
pub use crate::handle::{Reservation, found_handle_for};
pub use crate::http::{
    Attempts, GuardedOver, ProvidesTransactions, TakesTx, Transacted, TransactionalHandler, ViaOver, ViaTx,
};
use crate::http::{GuardedRequest, TransactionalDatabase, Work};
use crate::store::StoreDatabase;

/// Guards the handler, in a transaction.
pub fn run_in_transaction(request: GuardedRequest, options: Options, attempts: Attempts) -> Work {
    Box::pin(request.run_in_transaction(options, attempts))
}

impl<A, C, F> Handling<A, C, F>
where
    A: Send + 'static,
    C: FnOnce(A) -> F + Send + 'static,
    F: Future<Output: IntoResponse> + Send + 'static,
{
    /// The handler is boxed for one run: without `retry` in the attribute, the engine asks for no more.
    pub fn attempts(self) -> Attempts {
        let mut handler = Some(self);
        Attempts::new(move || match handler.take() {
            Some(handler) => handler.go(),
            None => Box::pin(std::future::ready(refused())),
        })
    }
}

/// The call of a handler that can be made again.
pub struct Repeating<A, G, C, F> {
    arguments: A,
    again: G,
    call: C,
    future: PhantomData<fn() -> F>,
}

/// The call of a handler that can be made again, and how its arguments are had for that.
pub fn repeating<A, G: Fn(&A) -> A, C: Fn(A) -> F, F>(arguments: A, again: G, call: C) -> Repeating<A, G, C, F> {
    Repeating { arguments, again, call, future: PhantomData }
}

impl<A, G, C, F> Repeating<A, G, C, F>
where
    A: Send + 'static,
    G: Fn(&A) -> A + Send + 'static,
    C: Fn(A) -> F + Clone + Send + 'static,
    F: Future<Output: IntoResponse> + Send + 'static,
{
    /// The handler is boxed anew for each run that the engine asks for.
    pub fn attempts(self) -> Attempts {
        Attempts::new(move || {
            let (arguments, call) = ((self.again)(&self.arguments), self.call.clone());
            Box::pin(async move { call(arguments).await.into_response() })
        })
    }
}

/// Stands in where the handler cannot run, which is told apart.
pub trait AnyAttempts: Sized {
    /// It passes the type checker, and nothing after it.
    fn attempts(self) -> Attempts {
        const { never::<Self>("this handler is no future of a response that moves between threads") };
        unreachable!()
    }
}

impl<A, C, F> AnyAttempts for Handling<A, C, F> {}
impl<A, G, C, F> AnyAttempts for Repeating<A, G, C, F> {}

// axum's own that are not `Clone` although what they hold is.
impl<T: Clone> Repeat<'_, Path<T>> {
    /// The same for the next run.
    pub fn again(&self) -> Path<T> {
        Path(self.0.0.clone())
    }
}

impl Repeat<'_, RawQuery> {
    /// The same for the next run.
    pub fn again(&self) -> RawQuery {
        RawQuery(self.0.0.clone())
    }
}

/// Asks for a `Tx` among the arguments.
pub fn takes_tx<A: TakesTx<I>, I>() {}

/// Two arguments of one handler.
pub struct Pair<T, U>(PhantomData<fn() -> (T, U)>);

/// Most pairs may stand beside each other.
pub trait AnyPair {
    /// It asks for nothing.
    fn apart() {}
}

impl<T, U> AnyPair for Pair<T, U> {}

impl<A: StoreDatabase, B: StoreDatabase> Pair<Tx<A>, Tx<B>> {
    /// It asks for what is never there, because a handler runs in one transaction.
    pub fn apart()
    where
        Tx<B>: TheOnlyOne,
    {
    }
}

/// An argument that may stand beside a `Tx`.
#[diagnostic::on_unimplemented(
    message = "a handler runs in one transaction, and takes one `Tx`",
    label = "this is the second one",
    note = "remove it, and execute all statements on the first; what lives in another database cannot be committed with it"
)]
pub trait TheOnlyOne {}

/// A handler's future that tells what its error was caused by.
pub struct Noting<F, O> {
    future: Pin<Box<F>>,
    cause: fn(&O) -> Option<FailureCause>,
}

/// How the cause of an output is found.
pub struct Causes<O>(fn(&O) -> Option<FailureCause>);

/// A handler's future that tells what its error was caused by.
pub fn noting<F, O>(future: F, Causes(cause): Causes<O>) -> Noting<F, O> {
    Noting { future: Box::pin(future), cause }
}

impl<F: Future<Output = O>, O: IntoResponse> Future for Noting<F, O> {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let cause = self.cause;
        self.future.as_mut().poll(cx).map(|output| {
            let cause = cause(&output);
            let mut response = output.into_response();
            if let Some(cause) = cause {
                response.extensions_mut().insert(cause);
            }
            response
        })
    }
}

/// What the handler's call gives, as a type to ask about.
pub fn outcome_of<F>(_: &F) -> CallOutput<F> {
    CallOutput(PhantomData)
}

impl<T, E: Error + 'static> Returned<Result<T, E>> {
    /// An error tells what caused it.
    pub fn causes(&self) -> Causes<Result<T, E>> {
        Causes(|output| output.as_ref().err().and_then(|error| cause_of(error)))
    }
}

/// Other outputs do not tell what caused them.
pub trait AnyCauses<O> {
    /// There is no cause to be found.
    fn causes(&self) -> Causes<O> {
        Causes(|_| None)
    }
}

impl<T> AnyCauses<T> for Returned<T> {}

/// A `Tx`, or the `Reservation` beside one, where the attribute does not say `transaction`.
pub struct Untransacted<T>(PhantomData<fn() -> T>);

/// Other types need no transaction.
pub trait AnyUntransacted {
    /// It asks for nothing.
    fn argument() {}
}

impl<T> AnyUntransacted for Untransacted<T> {}

impl<DB: StoreDatabase> Untransacted<Tx<DB>> {
    /// It asks for what is never there, because this handler has no transaction.
    pub fn argument()
    where
        Tx<DB>: OutsideOfTransactions,
    {
    }
}

impl<K: HasNoSteps> Untransacted<Reservation<K>> {
    /// As for a `Tx`: this handler runs under a lease.
    pub fn argument()
    where
        Reservation<K>: LeasedReservation,
    {
    }
}

impl<K: HasNoSteps> Untransacted<Option<Reservation<K>>> {
    /// As for a `Tx`: this handler runs under a lease.
    pub fn argument()
    where
        Reservation<K>: LeasedReservation,
    {
    }
}

/// A reservation of a handler without a transaction.
#[diagnostic::on_unimplemented(
    message = "`Reservation<InTransaction>` is an argument of handlers that run in a transaction",
    label = "this handler has no transaction",
    note = "take `Reservation`, which has steps, or `Reservation<Postgres>` (or `Reservation<Sqlite>`), whose steps may be \
            transactions; or write `#[idempotent(transaction)]` and take a `Tx`"
)]
pub trait LeasedReservation {}

/// A `Reservation` where the attribute says `transaction`.
pub struct InTransaction<T>(PhantomData<fn() -> T>);

/// Other types are the same there.
pub trait AnyInTransaction {
    /// It asks for nothing.
    fn argument() {}
}

impl<T> AnyInTransaction for InTransaction<T> {}

impl<K: HasSteps> InTransaction<Reservation<K>> {
    /// It asks for what is never there, because this handler's whole run is one commit.
    pub fn argument()
    where
        Reservation<K>: TransactionReservation,
    {
    }
}

impl<K: HasSteps> InTransaction<Option<Reservation<K>>> {
    /// As without the `Option`.
    pub fn argument()
    where
        Reservation<K>: TransactionReservation,
    {
    }
}

/// A reservation of a handler with a transaction.
#[diagnostic::on_unimplemented(
    message = "a handler with `transaction` has no steps, and takes `Reservation<InTransaction>`",
    label = "this reservation has steps",
    note = "write `Reservation<cratestack_runtime::InTransaction>`, which tells key, token and attempt, and derives; or \
            remove `transaction`, and write in steps that are transactions, by `Reservation<Postgres>`'s (or \
            `Reservation<Sqlite>`'s) method `transaction`"
)]
pub trait TransactionReservation {}

/// What a handler without a transaction can take.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an argument of handlers that run in a transaction",
    label = "this handler has no transaction",
    note = "write `#[idempotent(transaction)]`, or take a connection of the pool"
)]
pub trait OutsideOfTransactions {}

/// An argument that asks the router's state for a handle over a store in its database.
macro_rules! of_database {
    ($argument:ty) => {
        impl<DB: TransactionalDatabase, S> ArgumentOf<$argument, S> {
            /// An argument that others follow.
            pub fn leading()
            where
                S: ProvidesTransactions<DB, Idempotency<DB::Store>>,
            {
            }

            /// The last argument.
            pub fn last()
            where
                S: ProvidesTransactions<DB, Idempotency<DB::Store>>,
            {
            }
        }
    };
}

of_database!(Tx<DB>);
of_database!(Reservation<DB>);
of_database!(Option<Reservation<DB>>);

impl<DB: TransactionalDatabase> Argument<Tx<DB>> {
    /// An argument that others follow.
    pub fn leading() {}

    /// The last argument.
    pub fn last() {}
}
