//! Where the router's state has its handle.
//!
//! A handler that does not fit its router is as a rule told of by axum alone, which says that the function is no
//! `Handler`, and not why. The compiler reports an unmet bound once, however many ask for it, and for the one that came
//! to it first: by the fewest steps. So the bound on the state stands in two places. The marker types `Via` and `ViaTx`,
//! which become type arguments of `axum::routing::post` and its like, ask for `Provides…`, which is one step from
//! `FromRef` and has the words of the error. The extractors ask for `Finds…`, which is two steps away.

use std::sync::Arc;

use axum::extract::FromRef;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use super::transacted::TransactionalDatabase;
use crate::handle::Idempotency;

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

/// A router's state in which `#[idempotent]` finds its handle.
#[diagnostic::on_unimplemented(
    message = "the state `{Self}` does not provide an `Idempotency`",
    label = "no `Idempotency` in this state",
    note = "if it is a struct of yours, or an `Arc` of one: add the field `idempotency: Idempotency` to the struct, and \
            derive axum's `FromRef` for it, or implement `FromRef` of the struct for `Idempotency`",
    note = "if it is another's, such as `PgPool`, or `()`, which is no state: make a struct of yours the router's state, \
            with it and the `Idempotency` as fields"
)]
pub trait ProvidesIdempotency {}

#[diagnostic::do_not_recommend]
impl<S> ProvidesIdempotency for S where Idempotency: FromRef<S> {}

/// The same, for the extractor.
pub trait FindsIdempotency: ProvidesIdempotency {
    /// The state's handle.
    fn idempotency(&self) -> Idempotency;
}

/// The step between.
pub trait HasIdempotency: ProvidesIdempotency {
    /// The state's handle.
    fn handle(&self) -> Idempotency;
}

#[diagnostic::do_not_recommend]
impl<S: HasIdempotency> FindsIdempotency for S {
    fn idempotency(&self) -> Idempotency {
        self.handle()
    }
}

#[diagnostic::do_not_recommend]
impl<S> HasIdempotency for S
where
    Idempotency: FromRef<S>,
{
    fn handle(&self) -> Idempotency {
        FromRef::from_ref(self)
    }
}

/// A router's state in which `#[idempotent(transaction)]` finds its handle.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::on_unimplemented(
    message = "the state `{Self}` does not provide an `Idempotency<{Store}>`, in whose transactions `Tx<{DB}>` is",
    label = "no handle in this state has transactions of `{DB}`",
    note = "if it is a struct of yours, or an `Arc` of one: add the field `idempotency: Idempotency<{Store}>` to the \
            struct, and derive axum's `FromRef` for it; `Idempotency::transactional({Store}::new(pool))` makes one. A \
            plain `Idempotency`, or one over another store, cannot take part",
    note = "if it is another's, such as `PgPool`, or `()`, which is no state: make a struct of yours the router's state, \
            with it and that handle as fields"
)]
pub trait ProvidesTransactions<DB, Store> {}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::do_not_recommend]
impl<S, DB: TransactionalDatabase<Store = Store>, Store> ProvidesTransactions<DB, Store> for S where
    Idempotency<Store>: FromRef<S>
{
}

/// The same, for the extractor.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub trait FindsTransactions<DB: TransactionalDatabase>: ProvidesTransactions<DB, DB::Store> {
    /// The state's handle.
    fn transactions(&self) -> Idempotency<DB::Store>;
}

/// The step between.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub trait HasTransactions<DB: TransactionalDatabase>: ProvidesTransactions<DB, DB::Store> {
    /// The state's handle.
    fn handle(&self) -> Idempotency<DB::Store>;
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::do_not_recommend]
impl<S: HasTransactions<DB>, DB: TransactionalDatabase> FindsTransactions<DB> for S {
    fn transactions(&self) -> Idempotency<DB::Store> {
        self.handle()
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::do_not_recommend]
impl<S, DB: TransactionalDatabase> HasTransactions<DB> for S
where
    Idempotency<DB::Store>: FromRef<S>,
{
    fn handle(&self) -> Idempotency<DB::Store> {
        FromRef::from_ref(self)
    }
}
