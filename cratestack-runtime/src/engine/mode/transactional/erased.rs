use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::run::Transactional;
use super::slot::TransactionSlot;
use crate::engine::life::Engine;
use crate::engine::model::{Answer, Hold, OwnedClaim, Policy, Settled, TransactionOptions, Transition};
use crate::store::Transact;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// One attempt of transactional work.
pub(crate) type AttemptFuture<R> = BoxFuture<'static, Settled<R>>;
type Work<R> = dyn FnMut(Option<&Hold>) -> AttemptFuture<R> + Send;
type Observe = dyn Fn(Transition, &Hold) + Send + Sync;

/// What [`Engine::run`] takes besides the mode.
pub(crate) struct TransactionalRun<R> {
    pub(crate) options: TransactionOptions,
    /// Without one, the transaction guards nothing.
    pub(crate) claim: Option<OwnedClaim>,
    pub(crate) policy: Policy,
    pub(crate) observe: Box<Observe>,
    /// Called once for each attempt.
    pub(crate) work: Box<Work<R>>,
}

/// A store whose transactions the work takes part in, to a door that does not name it. Behind it, the engine is
/// compiled once for each store, in this crate.
pub(crate) trait Participant<R>: Send + Sync {
    fn run<'a>(&self, engine: &'a Engine, run: TransactionalRun<R>) -> BoxFuture<'a, Answer<R>>;
}

/// A store, and where its transaction and the work meet.
pub(crate) struct StoreParticipant<S: Transact> {
    pub(crate) store: Arc<S>,
    pub(crate) slot: Arc<TransactionSlot<S::Transaction>>,
}

impl<S: Transact, R: Send + 'static> Participant<R> for StoreParticipant<S> {
    fn run<'a>(&self, engine: &'a Engine, run: TransactionalRun<R>) -> BoxFuture<'a, Answer<R>> {
        let TransactionalRun { options, claim, policy, observe, work } = run;
        let mode = Transactional { store: Arc::clone(&self.store), slot: Arc::clone(&self.slot), options };
        Box::pin(engine.run(mode, claim, policy, observe, work))
    }
}
