use std::future::Future;
use std::sync::Arc;

use super::call::FunctionCall;
use super::outcome::Recorder;
use super::run::Run;
use crate::engine::TransactionSlot;
use crate::handle::{Idempotency, KeyPart, Options, ReservationSlot, TakesPart, Tx};
use crate::store::StoreDatabase;

/// One call of a guarded function that writes in a transaction.
pub struct TransactionalCall<DB: StoreDatabase> {
    call: FunctionCall,
    slot: Arc<TransactionSlot<DB::Transaction>>,
}

impl<DB: TakesPart> TransactionalCall<DB> {
    /// A call of the function of this name.
    pub fn new(idempotency: Idempotency<DB::Store>, name: &'static str, options: Options) -> Self {
        let (store, slot) = (Arc::clone(idempotency.store()), Arc::default());
        let call = FunctionCall::new(idempotency, name, options);
        Self { call: call.in_transaction_of(DB::participant(store, Arc::clone(&slot)).0), slot }
    }

    /// `key = EXPR`
    pub fn key(&mut self, part: &(impl KeyPart + ?Sized)) {
        self.call.key(part);
    }

    /// `principal = EXPR`
    pub fn principal(&mut self, part: &(impl KeyPart + ?Sized)) {
        self.call.principal(part);
    }

    /// `fingerprint = EXPR`
    pub fn fingerprint(&mut self, part: &(impl KeyPart + ?Sized)) {
        self.call.fingerprint(part);
    }
}

/// What one run of a body is given that writes in a transaction.
pub struct TransactionalRun<DB: StoreDatabase> {
    run: Run,
    slot: Arc<TransactionSlot<DB::Transaction>>,
}

impl<DB: StoreDatabase> TransactionalRun<DB> {
    /// The argument `tx: Tx<DB>`
    pub fn tx(&self) -> Tx<DB> {
        Tx::new(Arc::clone(&self.slot))
    }

    /// Where an argument finds the reservation.
    pub fn slot(&self) -> &ReservationSlot {
        self.run.slot()
    }
}

impl<T, E> Recorder<T, E> {
    /// Calls a function whose body borrows nothing, in a transaction.
    pub fn owned_in_transaction<DB: TakesPart, F>(
        self,
        call: TransactionalCall<DB>,
        body: impl FnMut(TransactionalRun<DB>) -> Option<F> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let TransactionalCall { call, slot } = call;
        self.run_owned(call, move |run| TransactionalRun { run, slot: Arc::clone(&slot) }, body)
    }

    /// Calls a function whose body borrows, in a transaction.
    pub fn borrowed_in_transaction<DB: TakesPart, F>(
        self,
        call: TransactionalCall<DB>,
        body: impl FnMut(TransactionalRun<DB>) -> Option<F>,
    ) -> impl Future<Output = Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let TransactionalCall { call, slot } = call;
        self.run_borrowed(call, move |run| TransactionalRun { run, slot: Arc::clone(&slot) }, body)
    }
}

/// A [`Tx`], as an argument's type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the `Tx` of `cratestack_runtime`",
    label = "a function with `transaction` gets its `Tx` by this name",
    note = "name the type that stands here differently, or write `cratestack_runtime::Tx<…>`"
)]
pub trait IsTx {
    /// Its database.
    type Database: TakesPart;
}

#[diagnostic::do_not_recommend]
impl<DB: TakesPart> IsTx for Tx<DB> {
    type Database = DB;
}
