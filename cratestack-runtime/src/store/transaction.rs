use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::claim::Claim;
use super::contract::IdempotencyStore;
use super::error::StoreError;
use super::record::IdempotencyRecord;
use super::steps::StepRecord;

/// A store whose database a handler can write in within the transaction that records its outcome:
/// `PostgresStore` and `SqliteStore`.
///
/// It is what `#[idempotent(transaction)]` asks of the handle in the router's state, an `Idempotency<PostgresStore>` or
/// an `Idempotency<SqliteStore>`, made by [`Idempotency::transactional`](crate::Idempotency::transactional). The trait
/// is sealed: what a transaction promises here, a third party could not give.
///
/// ```
/// use cratestack_runtime::{Idempotency, TransactionalStore};
///
/// fn handle<S: TransactionalStore>(store: S) -> Idempotency<S> {
///     Idempotency::transactional(store)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no transactions that a handler could write in",
    label = "this store cannot take part in a transaction",
    note = "use a `PostgresStore` or a `SqliteStore`; for handlers without `transaction` write `Idempotency::new(…)`, which \
            takes any store"
)]
pub trait TransactionalStore: Transact {}

/// What the engine does with a store's transactions.
#[async_trait]
pub trait Transact: IdempotencyStore {
    /// A transaction that is open; dropping it rolls it back.
    type Transaction: Send + 'static;

    /// Identifies a transaction's session, so that it can be terminated while somebody else has the transaction in
    /// hand.
    type SessionId: Copy + Send + Sync + 'static;

    /// The session of a transaction.
    fn session_id(&self, transaction: &Self::Transaction) -> Self::SessionId;

    /// Undoes a transaction that somebody else has and does not give back, and frees its key, where the database can.
    /// Says whether the transaction is known to have ended, one way or the other.
    async fn terminate(&self, session: Self::SessionId) -> bool;

    /// Begins a transaction and claims the key in it, without waiting for another one that has the key.
    ///
    /// The caller must not drop the future: a connection could go back to its pool within a transaction.
    ///
    /// Without a claim nothing guards the work, and the transaction is always had.
    async fn begin(
        &self,
        claim: Option<Claim<'_>>,
        isolation: Isolation,
    ) -> Result<Begun<Self::Transaction>, StoreError>;

    /// Writes the outcome down, where there was a claim, and commits, in one commit with what the work wrote.
    async fn commit(&self, transaction: Self::Transaction, ending: Option<Ending<'_>>) -> Result<(), CommitError>;

    /// Records a step of a leased run, as the last statement, and commits, in one commit with what the work wrote. The
    /// transaction was begun without a claim.
    ///
    /// Where the run has not its key, or its lease is over, everything is undone: [`CommitError::Taken`].
    async fn commit_step(&self, transaction: Self::Transaction, step: StepRecord<'_>) -> Result<(), CommitError>;

    /// Undoes everything, and frees the key.
    async fn rollback(&self, transaction: Self::Transaction);

    /// Whether a statement has failed that the database does not let the transaction go on after.
    async fn has_failed(&self, transaction: &mut Self::Transaction) -> bool;
}

/// How far a transaction is kept from seeing others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// As the database, or the connection, has it.
    #[default]
    Default,
    /// `READ COMMITTED`
    ReadCommitted,
    /// `REPEATABLE READ`
    RepeatableRead,
    /// `SERIALIZABLE`
    Serializable,
}

/// What [`Transact::begin`] found.
#[derive(Debug)]
pub enum Begun<T> {
    /// The key is the caller's for as long as the transaction lives.
    Reserved {
        /// The transaction.
        transaction: T,
        /// Proof of this reservation; nil where nothing was claimed.
        token: Uuid,
        /// As in [`ClaimOutcome`](super::ClaimOutcome); 0 where nothing was claimed.
        attempt: u32,
    },
    /// The same request has finished.
    Replay(IdempotencyRecord),
    /// The key is another run's.
    InFlight,
    /// The key belongs to another request.
    Conflict,
}

/// How a transaction ends that is not rolled back.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// What was claimed.
    pub claim: Claim<'a>,
    /// The reservation's token.
    pub token: Uuid,
    /// Which attempt it was.
    pub attempt: u32,
    /// The status of the response.
    pub status: u16,
    /// The headers of the response, encoded.
    pub headers: &'a [u8],
    /// The body of the response.
    pub body: &'a Bytes,
    /// Whether what the work wrote stays, beside the record.
    pub keep_writes: bool,
}

/// Why a transaction did not commit.
#[derive(Debug, PartialEq, Eq)]
pub enum CommitError {
    /// Nothing was committed, for a reason that another run may not meet: transactions in each other's way, a
    /// connection lost before the commit was sent.
    Transient(StoreError),
    /// Nothing was committed, and the next run would fare no better.
    Refused(StoreError),
    /// Nothing was committed: a reservation without a transaction has taken the key in the meantime.
    Taken,
    /// The work ended the transaction with a statement of its own; what it wrote may be committed.
    Ended,
    /// The answer to the commit was lost: it may have happened or not.
    Unknown(StoreError),
}
