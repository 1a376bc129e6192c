//! What the guard asks of the engine, and nothing else of this door does.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::response::Response;

use crate::engine::{Answer, Engine, Hold, OwnedClaim, Policy, Settled, Step, TransactionOptions, TransactionSlot};
use crate::store::Transact;

/// Runs a handler under a reservation.
pub(super) fn run_leased<W: Future<Output = Settled<Response>> + Send + 'static>(
    engine: &Engine,
    claim: OwnedClaim,
    policy: Policy,
    observe: impl Fn(Step, &Hold) + Send + Sync + 'static,
    work: impl FnOnce(&Hold) -> W + Send + 'static,
) -> impl Future<Output = Answer<Response>> {
    engine.guard(claim, policy, observe, work)
}

pub(super) type Settling = Pin<Box<dyn Future<Output = Settled<Response>> + Send>>;
/// The work of a guarded request, once for each attempt.
pub(super) type GuardedWork = Box<dyn FnMut(&Hold) -> Settling + Send>;
/// The same of one that nothing guards.
pub(super) type UnguardedWork = Box<dyn FnMut() -> Settling + Send>;
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
        work: GuardedWork,
    ) -> Answering<'a>;

    fn unguarded<'a>(&self, engine: &'a Engine, terms: TransactionOptions, work: UnguardedWork) -> Answering<'a>;
}

/// A store, and where its transaction and the handler's `Tx` meet.
#[cfg_attr(not(any(feature = "postgres", feature = "sqlite")), expect(dead_code, reason = "no store has transactions"))]
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
        work: GuardedWork,
    ) -> Answering<'a> {
        let (store, slot) = (Arc::clone(&self.store), Arc::clone(&self.slot));
        Box::pin(engine.transact(store, slot, claim, policy, terms, observe, work))
    }

    fn unguarded<'a>(&self, engine: &'a Engine, terms: TransactionOptions, work: UnguardedWork) -> Answering<'a> {
        let (store, slot) = (Arc::clone(&self.store), Arc::clone(&self.slot));
        Box::pin(engine.transact_unclaimed(store, slot, terms, work))
    }
}
