use std::future::Future;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::store::{RecordId, RecordIdRef, StoreError};

/// What a store does to many keys in one statement.
pub(crate) trait Operation: Sized + Send + Sync + 'static {
    /// What a call says besides its key's id, for it to wait.
    type Args: Send + 'static;
    type Answer: Send + 'static;

    /// The most calls that one statement takes.
    const MAX_BATCH: usize;

    /// How many slots there are, see `queue`. More than one is for a server that answers one message while it reads the
    /// next.
    const BASE_SLOTS: usize = 1;

    /// What a server needs at least for one statement, its commit included: what the shortest take beyond that is the
    /// wire, see `pace`.
    const SERVER_TIME: Duration = Duration::from_micros(400);

    /// How many slots there are while a crowd waits, see `queue`.
    const SLOTS_WHEN_CROWDED: usize = 2;

    /// The most slots that there are where the server is far or calls are few, see `pace`. Without more than `BASE_SLOTS`
    /// neither matters.
    fn max_slots(&self) -> usize {
        Self::BASE_SLOTS
    }

    /// Answers every call of a batch. They are sorted by their ids; the first that came is the first of those that are
    /// equal.
    fn run_many(&self, batch: Vec<Pending<Self>>) -> impl Future<Output = ()> + Send;
}

/// What a call of the operation `O` says besides its key's id, as its caller lends it.
pub(crate) trait Call<O: Operation>: Copy + Send + Sync + Into<O::Args> {
    /// How large it is, where that matters.
    fn bytes(self) -> usize {
        0
    }

    /// Whether it goes before all that are not urgent: into the next batch, with a part of the queue's bytes of its
    /// own.
    fn is_urgent(self) -> bool {
        false
    }

    /// Makes the call in a statement of its own.
    fn run_one(self, id: RecordIdRef<'_>, operation: &O) -> impl Future<Output = Result<O::Answer, StoreError>> + Send;
}

/// A call that waits for its answer.
pub(crate) struct Pending<O: Operation> {
    pub(crate) id: RecordId,
    pub(crate) args: O::Args,
    pub(super) bytes: usize,
    pub(crate) is_urgent: bool,
    /// `None` where nobody waits for an answer.
    pub(super) reply: Option<oneshot::Sender<Reply<O::Answer>>>,
    /// Its part of the queue's bytes.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

pub(super) enum Reply<A> {
    Answer(Result<A, StoreError>),
    /// The call is to be made in a statement of its own.
    RunOne,
}

impl<O: Operation> Pending<O> {
    /// Whether its caller has gone.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    /// An answer that nobody takes any more is dropped here.
    pub(crate) fn answer(self, answer: Result<O::Answer, StoreError>) {
        if let Some(reply) = self.reply {
            drop(reply.send(Reply::Answer(answer)));
        }
    }

    /// Lets the caller make a statement of its own.
    pub(crate) fn let_run_one(self) {
        if let Some(reply) = self.reply {
            drop(reply.send(Reply::RunOne));
        }
    }
}

/// The calls of a sorted batch without those that have the same id as one before them, and those.
#[cfg(feature = "postgres")]
pub(crate) fn split_repeats<O: Operation>(batch: Vec<Pending<O>>) -> (Vec<Pending<O>>, Vec<Pending<O>>) {
    let mut repeats = Vec::new();
    let mut unique: Vec<Pending<O>> = Vec::with_capacity(batch.len());
    for pending in batch {
        let repeats_the_last = unique.last().is_some_and(|last| last.id == pending.id);
        if repeats_the_last { repeats.push(pending) } else { unique.push(pending) }
    }
    (unique, repeats)
}
