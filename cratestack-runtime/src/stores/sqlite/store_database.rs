use sqlx::Sqlite;
use sqlx::error::DatabaseError;

use super::SqliteStore;
use crate::store::StoreDatabase;
use crate::stores::sql::{OpenTransaction, is_transient};

impl StoreDatabase for Sqlite {
    type Store = SqliteStore;
    type Transaction = OpenTransaction<Self>;

    fn connection(transaction: &OpenTransaction<Self>) -> &Self::Connection {
        transaction.connection()
    }

    fn connection_mut(transaction: &mut OpenTransaction<Self>) -> &mut Self::Connection {
        transaction.connection_mut()
    }

    fn is_transient(error: &dyn DatabaseError) -> bool {
        is_transient(error)
    }
}
