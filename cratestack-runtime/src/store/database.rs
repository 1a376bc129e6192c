use sqlx::Database;
use sqlx::error::DatabaseError;

use super::transaction::{Transact, TransactionalStore};

/// A database that one of this crate's stores lies in, and whose transactions a handler can write in.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a database whose transactions a handler can write in",
    label = "no store lies in this database",
    note = "`Postgres` and `Sqlite` are such databases; code that is generic over them asks for `TransactionalDatabase`"
)]
pub trait StoreDatabase: Database {
    /// The store that keeps its records there.
    type Store: TransactionalStore + Transact<Transaction = Self::Transaction>;

    /// A transaction of the store's.
    type Transaction: Send + Sync + 'static;

    /// The connection, in the transaction.
    fn connection(transaction: &Self::Transaction) -> &Self::Connection;

    /// The connection, in the transaction.
    fn connection_mut(transaction: &mut Self::Transaction) -> &mut Self::Connection;

    /// Whether an error says that transactions were in each other's way.
    fn is_transient(error: &dyn DatabaseError) -> bool;
}
