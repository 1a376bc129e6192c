use std::sync::Arc;

use crate::engine::{StoreParticipant, TransactionSlot};
use crate::http::guard::GuardedRequest;
use crate::store::StoreDatabase;

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
pub trait TransactionalDatabase: StoreDatabase {
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
