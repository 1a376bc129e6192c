use std::future::Future;

use cratestack_runtime::Idempotency;

use crate::work::Work;

/// A way for work to come in. One operation stands behind it: [`Work::run`], given the run's reservation and the
/// payload, and called by a principal under a key.
pub trait Door: Clone + Send + Sync + 'static {
    /// The door in one process: over a handle, with the work behind it.
    fn open(idempotency: Idempotency, work: Work, terms: Terms) -> Self;

    fn call(&self, principal: &str, key: &str, payload: &str) -> impl Future<Output = Outcome> + Send;
}

/// What a door is told, beside what it does by itself. Nothing else is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// An error gives its key back.
    Plain,
    /// An error is an outcome.
    ErrorsRecorded,
    /// A duplicate waits for a minute.
    Waits,
    /// The work runs where the store is away.
    RunsWithoutStore,
}

/// What a caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The work's value, by this call's own run.
    Fresh(u64),
    /// The value of a run before.
    Replayed(u64),
    /// The work's error, by whichever run.
    Failed(u64),
    InFlight,
    Conflict,
    Unavailable,
    Panicked,
    /// The work ran, but another run has taken the key over.
    Lost,
}
