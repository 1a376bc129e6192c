use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::response::Response;

use super::run::Work;
use crate::engine::{Answer, Engine, Hold, OwnedClaim, Policy, Settled, Step, TransactionOptions, TransactionSlot};
use crate::store::Transact;

/// A handler that may run more than once for a request, each time in a transaction of its own.
pub struct Attempts(Box<dyn FnMut() -> Work + Send>);

impl Attempts {
    /// As often as it is asked to.
    pub fn new(attempt: impl FnMut() -> Work + Send + 'static) -> Self {
        Self(Box::new(attempt))
    }

    pub(super) fn next(&mut self) -> Work {
        (self.0)()
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempts")
    }
}

/// What an error that became a response was caused by; it travels in the response's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A serialization failure or a deadlock.
    Transient,
    /// Any other error of the database.
    Other,
}

pub(super) type Settling = Pin<Box<dyn Future<Output = Settled<Response>> + Send>>;
/// The work of a guarded request, once for each attempt.
pub(super) type Guarded = Box<dyn FnMut(&Hold) -> Settling + Send>;
/// The same of one that nothing guards.
pub(super) type Unguarded = Box<dyn FnMut() -> Settling + Send>;
type Observe = Box<dyn Fn(Step, &Hold) + Send + Sync>;
type Answering<'a> = Pin<Box<dyn Future<Output = Answer<Response>> + Send + 'a>>;

/// A store whose transactions the handler takes part in. Behind it the engine is compiled once for each store, in this
/// crate.
pub(crate) trait Participant: fmt::Debug + Send + Sync {
    fn guarded<'a>(
        &self,
        engine: &'a Engine,
        claim: OwnedClaim,
        policy: Policy,
        terms: TransactionOptions,
        observe: Observe,
        work: Guarded,
    ) -> Answering<'a>;

    fn unguarded<'a>(&self, engine: &'a Engine, terms: TransactionOptions, work: Unguarded) -> Answering<'a>;
}

/// A store, and where its transaction and the handler's `Tx` meet.
pub(crate) struct InStore<S: Transact> {
    pub(crate) store: Arc<S>,
    pub(crate) slot: Arc<TransactionSlot<S::Transaction>>,
}

impl<S: Transact> fmt::Debug for InStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InStore")
    }
}

impl<S: Transact> Participant for InStore<S> {
    fn guarded<'a>(
        &self,
        engine: &'a Engine,
        claim: OwnedClaim,
        policy: Policy,
        terms: TransactionOptions,
        observe: Observe,
        work: Guarded,
    ) -> Answering<'a> {
        let (store, slot) = (Arc::clone(&self.store), Arc::clone(&self.slot));
        Box::pin(engine.transact(store, slot, claim, policy, terms, observe, work))
    }

    fn unguarded<'a>(&self, engine: &'a Engine, terms: TransactionOptions, work: Unguarded) -> Answering<'a> {
        let (store, slot) = (Arc::clone(&self.store), Arc::clone(&self.slot));
        Box::pin(engine.transact_unclaimed(store, slot, terms, work))
    }
}
