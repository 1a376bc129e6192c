use std::sync::Arc;

use crate::engine::{Participant, StoreParticipant, TransactionSlot};
use crate::store::StoreDatabase;

/// A database in whose transactions the work of a door can run that has its replies itself.
pub trait TakesPart: StoreDatabase {
    /// Lets work run in a transaction of the store's, handed over in the slot. Written out for each database, so that
    /// the engine behind it is compiled in this crate.
    #[doc(hidden)]
    fn participant(store: Arc<Self::Store>, slot: Arc<TransactionSlot<Self::Transaction>>) -> JoinsTransaction;
}

/// The part that work takes in a store's transactions.
pub struct JoinsTransaction(pub(crate) Arc<dyn Participant<()>>);

macro_rules! takes_part {
    ($database:ty) => {
        impl TakesPart for $database {
            fn participant(store: Arc<Self::Store>, slot: Arc<TransactionSlot<Self::Transaction>>) -> JoinsTransaction {
                JoinsTransaction(Arc::new(StoreParticipant { store, slot }))
            }
        }
    };
}

#[cfg(feature = "postgres")]
takes_part!(sqlx::Postgres);
#[cfg(feature = "sqlite")]
takes_part!(sqlx::Sqlite);
