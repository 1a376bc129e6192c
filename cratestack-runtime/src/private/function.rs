//! What generated code names around the body of a function that is no handler.
//!
//! The result's type is asked about apart, at the user's token. The code that runs takes any: where the type does not
//! fit, [`AnyFunction`] stands in, which gives no result and is no second error.

use std::future::{Future, Pending, pending};
use std::marker::PhantomData;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::function::{FunctionCall, GuardError, Recorder, Run};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::function::{TransactionalCall, TransactionalRun};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::handle::{Idempotency, TakesPart};
use crate::handle::{Reservation, ReservationKind, ReservationSlot};

/// What a function returns, as a type to ask about.
pub struct Function<R>(PhantomData<fn() -> R>);

/// What the function returns.
pub fn function<R>() -> Function<R> {
    Function(PhantomData)
}

impl<T, E> Function<Result<T, E>>
where
    T: Serialize + DeserializeOwned,
    E: From<GuardError>,
{
    /// `record = success`
    pub fn recording_success(self) -> Recorder<T, E> {
        Recorder::SUCCESS
    }
}

impl<T, E> Function<Result<T, E>>
where
    T: Serialize + DeserializeOwned,
    E: From<GuardError> + Serialize + DeserializeOwned,
{
    /// `record = all`
    pub fn recording_all(self) -> Recorder<T, E> {
        Recorder::ALL
    }
}

/// Stands in where the result cannot be recorded, which is told apart.
pub trait AnyFunction<R>: Sized {
    /// `record = success`
    fn recording_success(self) -> Unrecordable<R> {
        Unrecordable(PhantomData)
    }

    /// `record = all`
    fn recording_all(self) -> Unrecordable<R> {
        Unrecordable(PhantomData)
    }
}

impl<R> AnyFunction<R> for Function<R> {}

/// In place of a [`Recorder`].
pub struct Unrecordable<R>(PhantomData<fn() -> R>);

impl<R> Unrecordable<R> {
    /// In place of [`Recorder::owned`].
    pub fn owned<F: Future<Output = R>>(self, _: FunctionCall, _: impl FnMut(Run) -> Option<F>) -> Pending<R> {
        pending()
    }

    /// In place of [`Recorder::borrowed`].
    pub fn borrowed<F: Future<Output = R>>(self, _: FunctionCall, _: impl FnMut(Run) -> Option<F>) -> Pending<R> {
        pending()
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl<R> Unrecordable<R> {
    /// In place of `Recorder::owned_in_transaction`.
    pub fn owned_in_transaction<DB: TakesPart, F: Future<Output = R>>(
        self,
        _: TransactionalCall<DB>,
        _: impl FnMut(TransactionalRun<DB>) -> Option<F>,
    ) -> Pending<R> {
        pending()
    }

    /// In place of `Recorder::borrowed_in_transaction`.
    pub fn borrowed_in_transaction<DB: TakesPart, F: Future<Output = R>>(
        self,
        _: TransactionalCall<DB>,
        _: impl FnMut(TransactionalRun<DB>) -> Option<F>,
    ) -> Pending<R> {
        pending()
    }
}

impl<T, E> Function<Result<T, E>> {
    /// Asks whether the value can be recorded and had again.
    pub fn value()
    where
        T: RecordedValue,
    {
    }

    /// Asks whether the error takes what the guard has to say.
    pub fn error()
    where
        E: TakesGuardError,
    {
    }

    /// Asks whether the error can be recorded as well.
    pub fn recorded_error()
    where
        E: RecordedError,
    {
    }

    /// Asks all of it.
    pub fn whole()
    where
        T: RecordedValue,
        E: TakesGuardError,
    {
    }

    /// As above.
    pub fn recorded_whole()
    where
        T: RecordedValue,
        E: TakesGuardError + RecordedError,
    {
    }
}

/// Whatever is no `Result`, also where it is spelt like one.
pub trait AnyReturnedByFunction<R> {
    /// Asks for a `Result`.
    fn value()
    where
        R: FunctionResult,
    {
    }

    /// Asks for nothing: there is no such side.
    fn error() {}

    /// As above.
    fn recorded_error() {}

    /// Asks for a `Result`.
    fn whole()
    where
        R: FunctionResult,
    {
    }

    /// As above.
    fn recorded_whole()
    where
        R: FunctionResult,
    {
    }
}

impl<R> AnyReturnedByFunction<R> for Function<R> {}

/// What a function returns.
#[diagnostic::on_unimplemented(
    message = "an idempotent function returns a `Result`, and this one returns `{Self}`",
    label = "this is no `Result`",
    note = "return `Result<{Self}, E>` with an error `E` that has a `From<cratestack_runtime::GuardError>`: that is how the \
            guard says that a call is in flight, or that the store is away"
)]
pub trait FunctionResult {}

impl<T, E> FunctionResult for Result<T, E> {}

/// The `Ok` side of what a function returns.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be recorded and replayed",
    label = "this is not `serde::Serialize` and `serde::de::DeserializeOwned`",
    note = "write `#[derive(serde::Serialize, serde::Deserialize)]` on that type; what it holds must be owned"
)]
pub trait RecordedValue {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> RecordedValue for T {}

/// The `Err` side.
#[diagnostic::on_unimplemented(
    message = "the error `{Self}` cannot say what the guard has to say",
    label = "this error has no `From<cratestack_runtime::GuardError>`",
    note = "write `impl From<cratestack_runtime::GuardError> for {Self}`, or `#[from]` with thiserror, in a variant of its own"
)]
pub trait TakesGuardError {}

#[diagnostic::do_not_recommend]
impl<E: From<GuardError>> TakesGuardError for E {}

/// The `Err` side, where errors are recorded.
#[diagnostic::on_unimplemented(
    message = "`record = all` records errors, and the error `{Self}` cannot be recorded and replayed",
    label = "this is not `serde::Serialize` and `serde::de::DeserializeOwned`",
    note = "write `#[derive(serde::Serialize, serde::Deserialize)]` on that type, or remove `record = all`: an error then frees \
            the key"
)]
pub trait RecordedError {}

#[diagnostic::do_not_recommend]
impl<E: Serialize + DeserializeOwned> RecordedError for E {}

/// What the handle of a function with `transaction` may come to.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handle on a store in `{DB}`, whose transactions the function writes in",
    label = "this handle does not know its store as one that lies in `{DB}`",
    note = "name an `Idempotency<PostgresStore>`, or an `Idempotency<SqliteStore>`, as the `Tx` says: it is made by \
            `Idempotency::transactional`"
)]
pub trait AnyTransactionalHandle<DB: TakesPart> {
    /// The handle.
    fn transactional(&self) -> Idempotency<DB::Store>;
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::do_not_recommend]
impl<DB: TakesPart> AnyTransactionalHandle<DB> for Idempotency<DB::Store> {
    fn transactional(&self) -> Idempotency<DB::Store> {
        self.clone()
    }
}

/// What derefs to such a handle is one.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
macro_rules! transactional_pointers {
    ($($pointer:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl<DB: TakesPart, H: AnyTransactionalHandle<DB>> AnyTransactionalHandle<DB> for $pointer {
            fn transactional(&self) -> Idempotency<DB::Store> {
                (**self).transactional()
            }
        }
    )*};
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
transactional_pointers!(&H, &mut H, Box<H>, Arc<H>);

/// `handle = EXPR`, with `transaction`
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub fn transactional_handle<DB: TakesPart, H: AnyTransactionalHandle<DB>>(handle: &H) -> Idempotency<DB::Store> {
    handle.transactional()
}

/// A [`Reservation`], as an argument's type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the `Reservation` of `cratestack_runtime`",
    label = "a function gets the reservation that it runs under by this name",
    note = "where this is a type of yours, import it by another name: `use … as Booking`"
)]
pub trait IsReservation {
    /// That of the run.
    fn of(slot: &ReservationSlot) -> Self;
}

#[diagnostic::do_not_recommend]
impl<K: ReservationKind> IsReservation for Reservation<K> {
    fn of(slot: &ReservationSlot) -> Self {
        Self::of(slot)
    }
}

/// The argument `reservation: Reservation`
pub fn reservation<R: IsReservation>(slot: &ReservationSlot) -> R {
    R::of(slot)
}

/// Stands where nothing is returned, and says of what type all is that is.
pub fn unreturned<T>() -> T {
    unreachable!("nobody calls it")
}
