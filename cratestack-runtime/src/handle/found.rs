//! What `handle = EXPR` comes to.
//!
//! An `Idempotency<PostgresStore>` serves where an `Idempotency` is asked for. Where a transaction is to run under it,
//! the compiler asks for one that is typed ([`HandleFor`]); and where it does not see what for, because the argument's
//! type has a name of the user's own, the store is found by its type at run time.

#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
use std::any::Any;
use std::sync::Arc;

use super::idempotency::Idempotency;
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
use super::reservation::Reservation;
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
use super::tx::Tx;
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
use crate::store::StoreDatabase;
use crate::store::TransactionalStore;

/// The handle that an expression comes to, whichever it is.
pub struct FoundHandle {
    pub(crate) idempotency: Idempotency,
    #[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
    store: Option<Arc<dyn Any + Send + Sync>>,
}

impl FoundHandle {
    /// The store, where the handle says that it is one of this type.
    #[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
    pub(crate) fn store<S: TransactionalStore>(&self) -> Option<Arc<S>> {
        Arc::downcast(Arc::clone(self.store.as_ref()?)).ok()
    }
}

impl From<FoundHandle> for Idempotency {
    fn from(found: FoundHandle) -> Self {
        found.idempotency
    }
}

/// What `handle = EXPR` may come to, by value or by reference.
#[diagnostic::on_unimplemented(
    message = "`handle` takes an `Idempotency`, and this is a `{Self}`",
    label = "this is no `Idempotency`",
    note = "name the handle itself, such as `handle = app.idempotency`, also by reference or in an `Arc`; one that is in \
            something else, such as a `LazyLock`, by what that gives: `handle = *idempotency`"
)]
pub trait HandleExpression {
    /// The handle.
    fn found(&self) -> FoundHandle;
}

impl HandleExpression for Idempotency {
    fn found(&self) -> FoundHandle {
        FoundHandle {
            idempotency: self.clone(),
            #[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
            store: None,
        }
    }
}

impl<S: TransactionalStore> HandleExpression for Idempotency<S> {
    fn found(&self) -> FoundHandle {
        FoundHandle {
            #[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
            store: Some(Arc::clone(self.store()) as Arc<dyn Any + Send + Sync>),
            idempotency: self.clone().into(),
        }
    }
}

/// What derefs to a handle is one.
macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl<H: HandleExpression + ?Sized> HandleExpression for $pointer {
            fn found(&self) -> FoundHandle {
                (**self).found()
            }
        }

        #[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
        #[diagnostic::do_not_recommend]
        impl<T, H: HandleFor<T> + ?Sized> HandleFor<T> for $pointer {
            fn found_for(&self) -> FoundHandle {
                (**self).found_for()
            }
        }
    )*};
}

pointers!(&H, &mut H, Box<H>, Arc<H>);

/// `handle = EXPR`
pub fn found_handle<H: HandleExpression + ?Sized>(expression: &H) -> FoundHandle {
    expression.found()
}

/// What `handle = EXPR` may come to beside an argument `T`, which is a `Tx<DB>` or a `Reservation<DB>`.
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
#[diagnostic::on_unimplemented(
    message = "`handle` takes an `Idempotency` over the store of a `{T}`, and this is a `{Self}`",
    label = "this is no `Idempotency`",
    note = "name the handle itself, such as `handle = app.idempotency`, also by reference or in an `Arc`; one that is in \
            something else, such as a `LazyLock`, by what that gives: `handle = *idempotency`"
)]
pub trait HandleFor<T> {
    /// The handle.
    fn found_for(&self) -> FoundHandle;
}

#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
impl<DB: StoreDatabase, S: ?Sized + IsStore<DB::Store>> HandleFor<Tx<DB>> for Idempotency<S>
where
    Self: HandleExpression,
{
    fn found_for(&self) -> FoundHandle {
        self.found()
    }
}

#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
impl<DB: StoreDatabase, S: ?Sized + IsStore<DB::Store>> HandleFor<Reservation<DB>> for Idempotency<S>
where
    Self: HandleExpression,
{
    fn found_for(&self) -> FoundHandle {
        self.found()
    }
}

/// A store that is `S`. Were it said by an equality of types, the error would be in the compiler's words.
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
#[diagnostic::on_unimplemented(
    message = "the handler's transactions are a `{S}`'s, and this handle is an `Idempotency<{Self}>`",
    label = "this handle has no such transactions",
    note = "name an `Idempotency<PostgresStore>` beside a `Tx<Postgres>` or a `Reservation<Postgres>`, and an \
            `Idempotency<SqliteStore>` beside those of `Sqlite`, as `Idempotency::transactional` makes them; a plain \
            `Idempotency` has forgotten its store"
)]
pub trait IsStore<S: ?Sized> {}

#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
#[diagnostic::do_not_recommend]
impl<S: ?Sized> IsStore<S> for S {}

/// `handle = EXPR`, beside an argument `T`.
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
pub fn found_handle_for<T, H: HandleFor<T> + ?Sized>(expression: &H) -> FoundHandle {
    expression.found_for()
}
