//! A key that is had by a reservation of the store's, which is kept alive by a lease while the work runs. The outcome
//! is a write of its own, after the work.
//!
//! `acquire` comes by a reservation whose lease still lasts, `finalize` ends it; between the two, `lease` keeps it.

mod acquire;
mod finalize;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use self::acquire::{AcquireReservation, LeasedGrant};
use self::finalize::Finalize;
use crate::engine::lease::handle::Lease;
use crate::engine::life::{Engine, Execution, Mode};
use crate::engine::model::{Acquired, Answer, Hold, OwnedClaim, Policy, Settled, Transition};
use crate::engine::retry::Recovery;
use crate::engine::steps::RunSteps;
use crate::store::{IdempotencyStore, StoreError};
use crate::util::catch_panic;

/// Runs work under a reservation of the engine's store.
#[derive(Debug)]
pub(crate) struct Leased {
    store: Arc<dyn IdempotencyStore>,
    recovery: Arc<Recovery>,
}

impl Leased {
    pub(crate) fn over(engine: &Engine) -> Self {
        Self { store: Arc::clone(engine.store()), recovery: Arc::clone(engine.recovery()) }
    }
}

impl<F, W, R> Mode<F, R> for Leased
where
    F: FnOnce(Option<&Hold>, Option<RunSteps>) -> W + Send + 'static,
    W: Future<Output = Settled<R>> + Send + 'static,
    R: Send + 'static,
{
    type Grant = LeasedGrant;

    async fn acquire(
        &self,
        claim: Option<&Arc<OwnedClaim>>,
        policy: Policy,
    ) -> Result<Acquired<LeasedGrant>, StoreError> {
        let Some(claim) = claim else { return Ok(Acquired::Ours(LeasedGrant::Unprotected(None))) };
        AcquireReservation { store: &self.store, claim, timeout: policy.store_timeout }.acquire().await
    }

    fn unreserved(&self, hold: Option<Hold>) -> Option<LeasedGrant> {
        Some(LeasedGrant::Unprotected(hold))
    }

    async fn run(
        self,
        grant: LeasedGrant,
        execution: Execution<impl Fn(Transition, &Hold) + Send + Sync + 'static>,
        work: F,
    ) -> Answer<R> {
        let (target, leased) = match grant {
            LeasedGrant::Reserved { target, leased } => (target, leased),
            LeasedGrant::Unprotected(hold) => {
                // Pinned here, as below.
                let work = pin!(work(hold.as_ref(), None));
                let ran = catch_panic(work).await;
                return ran.map_or(Answer::Panicked, |settled| Answer::Ran(settled.reply));
            }
        };
        let lease = Lease::new(target.clone(), Arc::clone(&self.recovery), leased);
        execution.observe(Transition::Reserved, Some(&target.hold));
        let settled = {
            // Pinned here, and not by each future around it, which would be as large again.
            let work = pin!(work(Some(&target.hold), Some(RunSteps::of(&target, lease.watch()))));
            lease.during(catch_panic(work)).await
        };
        Finalize { target, lease, recovery: self.recovery, execution }.finalize(settled).await
    }
}
