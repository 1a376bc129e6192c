//! What a [`Reservation`](super::Reservation) can do, as its type parameter says.

use std::any::Any;
use std::sync::Arc;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::store::StoreDatabase;

/// The type parameter of a plain [`Reservation`](crate::Reservation): a run over any store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnyStore {}

/// The type parameter of the [`Reservation`](crate::Reservation) that a handler with `transaction` takes.
///
/// The whole run of such a handler is one commit, so it has no steps.
///
/// ```
/// use axum::http::StatusCode;
/// use cratestack_runtime::{InTransaction, Reservation, Tx, idempotent};
/// use sqlx::Postgres;
///
/// #[idempotent(transaction)]
/// async fn pay(reservation: Reservation<InTransaction>, mut tx: Tx<Postgres>) -> Result<StatusCode, StatusCode> {
///     let insert = sqlx::query("INSERT INTO payments (id) VALUES ($1)").bind(reservation.derive("payment"));
///     insert.execute(&mut *tx).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
///     Ok(StatusCode::CREATED)
/// }
/// ```
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InTransaction {}

/// A type parameter of a reservation.
#[diagnostic::on_unimplemented(
    message = "`{Self}` says nothing of what a `Reservation` can do",
    label = "no `Reservation` has this parameter",
    note = "write `Reservation` alone; `Reservation<Postgres>` or `Reservation<Sqlite>`, which has steps that are a \
            transaction; or `Reservation<InTransaction>`, in a handler with `transaction`"
)]
pub trait ReservationKind {
    /// Whether a run of this kind has steps.
    #[doc(hidden)]
    const HAS_STEPS: bool;

    /// Whether a store can do what this kind asks of it.
    #[doc(hidden)]
    fn is_served_by(store: &Arc<dyn Any + Send + Sync>) -> bool;
}

impl ReservationKind for AnyStore {
    const HAS_STEPS: bool = true;

    fn is_served_by(_: &Arc<dyn Any + Send + Sync>) -> bool {
        true
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl ReservationKind for InTransaction {
    const HAS_STEPS: bool = false;

    fn is_served_by(_: &Arc<dyn Any + Send + Sync>) -> bool {
        true
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl<DB: StoreDatabase> ReservationKind for DB {
    const HAS_STEPS: bool = true;

    fn is_served_by(store: &Arc<dyn Any + Send + Sync>) -> bool {
        store_of::<DB>(store).is_some()
    }
}

/// A kind of reservation that has steps.
pub trait HasSteps: ReservationKind {}

impl HasSteps for AnyStore {}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl<DB: StoreDatabase> HasSteps for DB {}

/// A kind of reservation that has none.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub trait HasNoSteps: ReservationKind {}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl HasNoSteps for InTransaction {}

/// The store, if it is the one in this database, or an `Arc` of it.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn store_of<DB: StoreDatabase>(store: &Arc<dyn Any + Send + Sync>) -> Option<Arc<DB::Store>> {
    let shared = || store.downcast_ref::<Arc<DB::Store>>().cloned();
    Arc::clone(store).downcast().ok().or_else(shared)
}
