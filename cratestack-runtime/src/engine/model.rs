//! The words that the whole engine speaks. Nothing here does anything, and nothing here imports the rest of the engine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::store::{Claim, IdempotencyRecord, RecordId, StoreError};

/// What a guarded request claims; the owned form of [`Claim`].
#[derive(Debug)]
pub(crate) struct OwnedClaim {
    pub(crate) id: RecordId,
    pub(crate) request_hash: [u8; 32],
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
}

impl OwnedClaim {
    pub(crate) fn as_claim(&self) -> Claim<'_> {
        Claim {
            principal: self.id.principal(),
            key: self.id.key(),
            request_hash: self.request_hash,
            lease: self.lease,
            retention: self.retention,
        }
    }
}

/// A reservation that is ours.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) claim: Arc<OwnedClaim>,
    pub(crate) token: Uuid,
    pub(crate) attempt: u32,
}

/// How patient a request is, and with whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// How long the store may take to answer a reservation.
    pub(crate) patience: Duration,
    /// How long a duplicate of a running request waits for its outcome.
    pub(crate) wait: Duration,
    /// Whether the work runs, unguarded, where the store cannot reserve.
    pub(crate) run_unreserved: bool,
}

/// What became of a guarded request.
#[derive(Debug)]
pub(crate) enum Answer<R> {
    /// The work ran; this is its reply.
    Ran(R),
    /// The same request had finished before.
    Replay(Arc<IdempotencyRecord>),
    /// The same request is running.
    InFlight,
    /// The key belongs to another request.
    Conflict,
    /// So much is under way that nothing more may begin.
    Overloaded(Limit),
    /// The work ran, but past its lease, and another run took the key over: its outcome is the one that counts.
    Lost,
    /// The work panicked; the key is free again.
    Panicked,
    /// The store could not say whether the key is free, and nothing ran.
    Unavailable(StoreError),
    /// The work's transaction did not end in time and was rolled back; the key is free again.
    TimedOut,
    /// The work's transaction was rolled back, for a reason that a retry may not meet; the key is free again.
    RolledBack(StoreError),
    /// The answer to the commit of the work's transaction was lost, and the store cannot say whether it happened.
    Unknown(StoreError),
    /// The work's transaction cannot be committed and was rolled back; the key is free again.
    Refused(StoreError),
}

/// A bound on what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    MaxRunning,
    MaxPendingBytes,
}

/// A step in the life of a reservation, told to whoever watches as it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Reserved,
    Recorded {
        code: u16,
    },
    Released,
    Lost,
    Panicked,
    /// The transaction that it was the reservation of is undone.
    RolledBack,
}

/// What a finished run leaves: what becomes of its key, and the reply to whoever asked.
#[derive(Debug)]
pub(crate) struct Settled<R> {
    pub(crate) disposition: Disposition,
    pub(crate) reply: R,
    /// Where the reply tells of one.
    pub(crate) failure: Option<Failure>,
}

/// Why the work failed, as far as its reply says; a transaction depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Transactions were in each other's way.
    Transient,
    /// As the work has it.
    Deliberate,
    /// Something broke, and the reply does not tell what.
    Unknown,
}

/// What is recorded of a run. Only the door that it came in by can tell what it means; the engine compares it and writes it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// In the store, the status.
    pub(crate) code: u16,
    /// In the store, the headers.
    pub(crate) metadata: Vec<u8>,
    pub(crate) body: Bytes,
}

/// What becomes of the key.
#[derive(Debug, Clone)]
pub(crate) enum Disposition {
    /// The outcome is frozen.
    Record(Outcome),
    /// The key is given back: nothing happened.
    Release,
}

impl Disposition {
    /// How many bytes it takes while it waits to be written, besides what every run takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Record(outcome) => outcome.metadata.len() + outcome.body.len(),
            Self::Release => 0,
        }
    }

    /// What is lost while it is not written.
    pub(super) fn stake(&self) -> &'static str {
        match self {
            Self::Record(_) => {
                "the caller has its reply, but a retry at another process after the lease would run the work again"
            }
            Self::Release => "a retry is in flight until the lease ends",
        }
    }
}
