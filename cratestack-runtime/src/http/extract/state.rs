//! Where the router's state has its handle.
//!
//! A handler that does not fit its router is as a rule told of by axum alone, which says that the function is no
//! `Handler`, and not why. The compiler reports an unmet bound once, however many ask for it, and for the one that came
//! to it first: by the fewest steps. So the bound on the state stands in two places. The marker types `Via` and `ViaTx`,
//! which become type arguments of `axum::routing::post` and its like, ask for `Provides…`, which is one step from
//! `FromRef` and has the words of the error. The extractors ask for `Finds…`, which is two steps away.

use std::sync::Arc;

use axum::extract::FromRef;

use crate::handle::Idempotency;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::store::StoreDatabase;

/// A state in an `Arc` provides what the state provides. Nobody else could write this: the state is the user's, its
/// `Arc` is not.
impl<S, T: ?Sized> FromRef<Arc<S>> for Idempotency<T>
where
    Self: FromRef<S>,
{
    fn from_ref(state: &Arc<S>) -> Self {
        Self::from_ref(&**state)
    }
}

/// A router's state in which `#[idempotent]` finds its handle `H`.
#[diagnostic::on_unimplemented(
    message = "the state `{Self}` does not provide an `{H}`",
    label = "no `{H}` in this state",
    note = "if it is a struct of yours, or an `Arc` of one: it needs a field `idempotency: {H}`, and an impl of \
            `FromRef` of the struct for `{H}`, which `#[derive(FromRef)]` writes (axum's feature `macros`; put \
            `#[from_ref(skip)]` on fields that are not `Clone`)",
    note = "if it is another's, such as `PgPool`, or `()`, which is no state: make a struct of yours the router's state, \
            with it and the `{H}` as fields"
)]
pub trait ProvidesHandle<H> {}

#[diagnostic::do_not_recommend]
impl<S, H: FromRef<S>> ProvidesHandle<H> for S {}

/// The same, for the extractor.
pub trait FindsHandle<H>: ProvidesHandle<H> {
    /// The state's handle.
    fn handle(&self) -> H;
}

/// The step between.
pub trait HasHandle<H>: ProvidesHandle<H> {
    /// The state's handle.
    fn handle(&self) -> H;
}

#[diagnostic::do_not_recommend]
impl<S: HasHandle<H>, H> FindsHandle<H> for S {
    fn handle(&self) -> H {
        HasHandle::handle(self)
    }
}

#[diagnostic::do_not_recommend]
impl<S, H: FromRef<S>> HasHandle<H> for S {
    fn handle(&self) -> H {
        H::from_ref(self)
    }
}

/// A handler that takes a handle `H`, which is `Idempotency`. Where that were said and not inferred, a state without it
/// would be found out while the compiler looks for the one impl of `Handler` that may fit, and it would report that
/// there is none. What it has yet to infer, it asks after it has found the impl.
pub trait Takes<H> {
    /// The handle. It is no associated type, because the compiler would infer `H` from that at once.
    fn taken(handle: H) -> Idempotency;
}

/// Handlers that run under a lease.
pub struct LeasedHandler;

impl Takes<Idempotency> for LeasedHandler {
    fn taken(handle: Idempotency) -> Idempotency {
        handle
    }
}

/// A router's state in which `#[idempotent(transaction)]` finds its handle `H`.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::on_unimplemented(
    message = "the state `{Self}` does not provide an `{H}`, in whose transactions `Tx<{DB}>` is",
    label = "no handle in this state has transactions of `{DB}`",
    note = "if it is a struct of yours, or an `Arc` of one: it needs a field `idempotency: {H}`, which \
            `Idempotency::transactional` makes, and an impl of `FromRef` of the struct for `{H}`, which \
            `#[derive(FromRef)]` writes (axum's feature `macros`; put `#[from_ref(skip)]` on fields that are not `Clone`). \
            A plain `Idempotency`, or one over another store, cannot take part",
    note = "if it is another's, such as `PgPool`, or `()`, which is no state: make a struct of yours the router's state, \
            with it and the `{H}` as fields"
)]
pub trait ProvidesTransactions<DB, H> {}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::do_not_recommend]
impl<S, DB, H: FromRef<S>> ProvidesTransactions<DB, H> for S {}

/// The same, for the extractor.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub trait FindsTransactions<DB, H>: ProvidesTransactions<DB, H> {
    /// The state's handle.
    fn transactions(&self) -> H;
}

/// The step between.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub trait HasTransactions<DB, H>: ProvidesTransactions<DB, H> {
    /// The state's handle.
    fn handle(&self) -> H;
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::do_not_recommend]
impl<S: HasTransactions<DB, H>, DB, H> FindsTransactions<DB, H> for S {
    fn transactions(&self) -> H {
        HasTransactions::handle(self)
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::do_not_recommend]
impl<S, DB, H: FromRef<S>> HasTransactions<DB, H> for S {
    fn handle(&self) -> H {
        H::from_ref(self)
    }
}

/// The same of a handler that runs in a transaction of `DB`: it takes an `Idempotency<DB::Store>`.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub trait TakesTransactional<DB: StoreDatabase, H> {
    /// The handle.
    fn taken(handle: H) -> Idempotency<DB::Store>;
}

/// Handlers that run in a transaction.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub struct TransactionalHandler;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl<DB: StoreDatabase> TakesTransactional<DB, Idempotency<DB::Store>> for TransactionalHandler {
    fn taken(handle: Idempotency<DB::Store>) -> Idempotency<DB::Store> {
        handle
    }
}
