//! Transactions that claim a key, and record its outcome in the commit of what the handler wrote.
//!
//! While one runs, an advisory lock of the transaction stands for its key, taken without waiting: it is gone with the
//! transaction, however that ends, and no row of ours is locked or dead meanwhile. The row is inserted at the end,
//! finished. A reservation without a transaction knows nothing of the lock; where one took the key in the meantime, the
//! insert finds its row, and everything is rolled back.
//!
//! A setting local to the transaction holds the token of whoever got the lock. It says so to the statement that reads,
//! which is the next one so that it sees what the lock's last holder committed; and it is gone where the handler has
//! ended the transaction by itself, so that the record can tell.

pub(super) mod begin;
mod begin_at_once;
pub(super) mod commit;
pub(super) mod connections;
mod prepared;
mod rollback;
mod text;

use async_trait::async_trait;
use sqlx::Postgres;

use self::commit::has_failed;
use self::rollback::{rollback, terminate};
use super::PostgresStore;
use crate::store::{
    Begun, Claim, CommitError, Ending, Isolation, StepRecord, StoreError, Transact, TransactionalStore,
};
use crate::stores::sql::{OpenTransaction, SessionId, store_database};

store_database!(Postgres, PostgresStore);

impl TransactionalStore for PostgresStore {}

#[async_trait]
impl Transact for PostgresStore {
    type Transaction = OpenTransaction<Postgres>;
    type SessionId = SessionId;

    fn session_id(&self, open: &OpenTransaction<Postgres>) -> SessionId {
        open.session
    }

    async fn terminate(&self, session: SessionId) -> bool {
        terminate(&self.database.pool, session).await
    }

    async fn begin(
        &self,
        claim: Option<Claim<'_>>,
        isolation: Isolation,
    ) -> Result<Begun<OpenTransaction<Postgres>>, StoreError> {
        self.operations.begin.run(claim, isolation).await
    }

    async fn commit(&self, open: OpenTransaction<Postgres>, ending: Option<Ending<'_>>) -> Result<(), CommitError> {
        self.operations.commit.run(open, ending).await
    }

    async fn commit_step(&self, open: OpenTransaction<Postgres>, step: StepRecord<'_>) -> Result<(), CommitError> {
        self.operations.commit.run_with_step(open, step).await
    }

    async fn rollback(&self, open: OpenTransaction<Postgres>) {
        rollback(&self.database.pool, open).await;
    }

    async fn has_failed(&self, open: &mut OpenTransaction<Postgres>) -> bool {
        has_failed(open).await
    }
}
