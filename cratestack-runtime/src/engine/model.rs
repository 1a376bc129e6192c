//! The words that the whole engine speaks. Nothing here does anything, and nothing here imports the rest of the engine.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::{Claim, IdempotencyRecord, Isolation, RecordId, StoreError};

/// What a piece of work claims; the owned form of [`Claim`].
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

/// A key that is ours.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) claim: Arc<OwnedClaim>,
    pub(crate) token: Uuid,
    pub(crate) attempt: u32,
}

/// How patient a caller is, and with whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// How long the store may take to say who has the key.
    pub(crate) store_timeout: Duration,
    /// How long a duplicate of running work waits for its outcome.
    pub(crate) wait: Duration,
    /// Whether the work runs, unguarded, where the store cannot say who has the key.
    pub(crate) run_unreserved: bool,
}

/// What the store says of a key; a [`ClaimOutcome`](crate::ClaimOutcome) whose record can be shared, and where what is
/// had with the key depends on the mode.
#[derive(Debug)]
pub(crate) enum Acquired<G> {
    Ours(G),
    Replay(Arc<IdempotencyRecord>),
    InFlight,
    Conflict,
}

impl<G> Acquired<G> {
    /// What is ours, or else the answer.
    pub(super) fn ours<R>(self) -> Result<G, Answer<R>> {
        match self {
            Self::Ours(grant) => Ok(grant),
            Self::Replay(record) => Err(Answer::Replay(record)),
            Self::InFlight => Err(Answer::InFlight),
            Self::Conflict => Err(Answer::Conflict),
        }
    }
}

/// What became of a piece of work.
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
    /// The store could not say whether the key is free, and nothing ran; or the engine itself broke down, and what ran
    /// is not known.
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

/// A change in the life of a key that is ours, told to whoever watches as it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    Reserved,
    Recorded {
        code: u16,
    },
    Released,
    Lost,
    Panicked,
    /// The transaction that had the key is undone.
    RolledBack,
}

/// What a finished run leaves: what becomes of its key, and the reply to whoever asked.
#[derive(Debug)]
pub(crate) struct Settled<R> {
    pub(crate) disposition: Disposition,
    pub(crate) reply: R,
    /// Set when the reply is an error: by it, a transaction is rolled back or run again.
    pub(crate) failure: Option<Failure>,
}

/// Why the work failed, as far as its reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Transactions were in each other's way.
    Transient,
    /// The work decided so.
    Deliberate,
    /// Something broke, and the reply does not tell what.
    Unknown {
        /// How a reply of this door can tell, for the log.
        remedy: &'static str,
    },
}

/// How work runs that writes in a transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TransactionOptions {
    pub(crate) isolation: Isolation,
    /// How often the work may run once more.
    pub(crate) retries: u32,
    /// Whether an error's writes stay.
    pub(crate) keep_all: bool,
    /// How long the work may take.
    pub(crate) timeout: Duration,
}

/// What is recorded of a run. Only the door that it came in by can tell what it means; the engine compares it and
/// writes it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// In the store, the status.
    pub(crate) code: u16,
    /// In the store, the headers.
    pub(crate) metadata: Vec<u8>,
    pub(crate) body: Bytes,
}

impl Outcome {
    /// As the store would tell it. The claim was `asked` for then, by this process's clock.
    pub(super) fn to_record(&self, claim: &OwnedClaim, asked: Instant) -> IdempotencyRecord {
        let created_at = SystemTime::now().checked_sub(asked.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        IdempotencyRecord {
            key: claim.id.key().to_owned(),
            principal_fingerprint: claim.id.principal().to_owned(),
            request_hash: claim.request_hash,
            response_status: self.code,
            response_headers: self.metadata.clone(),
            response_body: self.body.to_vec(),
            created_at,
            expires_at: created_at.checked_add(claim.retention).unwrap_or(created_at),
        }
    }
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
