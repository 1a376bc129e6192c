//! The store's transactions, as the engine has them.

use async_trait::async_trait;
use sqlx::Sqlite;

use super::SqliteStore;
use super::transaction::rollback;
use crate::store::{
    Begun, Claim, CommitError, Ending, Isolation, StepRecord, StoreError, Transact, TransactionalStore,
};
use crate::stores::sql::{OpenTransaction, store_database};

store_database!(Sqlite, SqliteStore);

impl TransactionalStore for SqliteStore {}

#[async_trait]
impl Transact for SqliteStore {
    type Transaction = OpenTransaction<Sqlite>;
    type SessionId = ();

    fn session_id(&self, _: &OpenTransaction<Sqlite>) {}

    /// A transaction is within this process, and ends with whoever has it.
    async fn terminate(&self, (): ()) -> bool {
        true
    }

    async fn begin(
        &self,
        claim: Option<Claim<'_>>,
        _: Isolation,
    ) -> Result<Begun<OpenTransaction<Sqlite>>, StoreError> {
        self.operations.transactions.begin(claim).await
    }

    async fn commit(&self, open: OpenTransaction<Sqlite>, ending: Option<Ending<'_>>) -> Result<(), CommitError> {
        self.operations.transactions.commit(open, ending).await
    }

    async fn commit_step(&self, open: OpenTransaction<Sqlite>, step: StepRecord<'_>) -> Result<(), CommitError> {
        self.operations.transactions.commit_step(open, step).await
    }

    async fn rollback(&self, open: OpenTransaction<Sqlite>) {
        rollback(open).await;
    }

    async fn has_failed(&self, _: &mut OpenTransaction<Sqlite>) -> bool {
        // A statement that fails leaves the transaction as it was before it.
        false
    }
}
