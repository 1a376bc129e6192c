//! Transactions that claim a key, and record its outcome in the commit of what the handler wrote.
//!
//! SQLite has one writer at a time, so a transaction that has begun to write has every key.

pub(super) mod begin;
pub(super) mod commit;

use async_trait::async_trait;
use sqlx::Sqlite;

use self::commit::rollback;
use super::SqliteStore;
use crate::store::{Begun, Claim, CommitError, Ending, Isolation, StoreError, Transact, TransactionalStore};
use crate::stores::sql::OpenTransaction;

impl TransactionalStore for SqliteStore {}

#[async_trait]
impl Transact for SqliteStore {
    type Transaction = OpenTransaction<Sqlite>;
    type Leash = ();

    fn leash(&self, _: &OpenTransaction<Sqlite>) {}

    /// A transaction is within this process, and ends with whoever has it.
    async fn cut(&self, (): ()) {}

    async fn begin(
        &self,
        claim: Option<Claim<'_>>,
        _: Isolation,
    ) -> Result<Begun<OpenTransaction<Sqlite>>, StoreError> {
        self.operations.begin.run(claim).await
    }

    async fn commit(&self, open: OpenTransaction<Sqlite>, ending: Option<Ending<'_>>) -> Result<(), CommitError> {
        self.operations.commit.run(open, ending).await
    }

    async fn rollback(&self, open: OpenTransaction<Sqlite>) {
        rollback(open).await;
    }

    async fn has_failed(&self, _: &mut OpenTransaction<Sqlite>) -> bool {
        // A statement that fails leaves the transaction as it was before it.
        false
    }
}
