use sqlx::Postgres;
use sqlx::error::DatabaseError;

use super::PostgresStore;
use crate::store::StoreDatabase;
use crate::stores::open::{Open, is_transient};

impl StoreDatabase for Postgres {
    type Store = PostgresStore;
    type Transaction = Open<Self>;

    fn connection(transaction: &Open<Self>) -> &Self::Connection {
        transaction.connection()
    }

    fn connection_mut(transaction: &mut Open<Self>) -> &mut Self::Connection {
        transaction.connection_mut()
    }

    fn is_transient(error: &dyn DatabaseError) -> bool {
        is_transient(error)
    }
}
