use std::future::Future;
use std::sync::Arc;

use tracing::warn;

use super::acquire::{AcquireTransaction, OpenGrant};
use super::commit::{CommitRun, Conclusion};
use super::slot::{RunEnd, TransactionSlot, run_to_end};
use crate::engine::life::{Execution, Mode};
use crate::engine::model::{Acquired, Answer, Hold, OwnedClaim, Policy, Settled, TransactionOptions, Transition};
use crate::store::{StoreError, Transact};

/// Work that writes in transactions of the store's, which it finds in the slot. It is called once for each attempt, of
/// which there are at most `options.retries` after the first.
pub(super) struct Transactional<S: Transact> {
    pub(super) store: Arc<S>,
    pub(super) slot: Arc<TransactionSlot<S::Transaction>>,
    pub(super) options: TransactionOptions,
}

impl<S, F, W, R> Mode<F, R> for Transactional<S>
where
    S: Transact,
    F: FnMut(Option<&Hold>) -> W + Send + 'static,
    W: Future<Output = Settled<R>> + Send + 'static,
    R: Send + 'static,
{
    type Grant = OpenGrant<S::Transaction>;

    async fn acquire(
        &self,
        claim: Option<&Arc<OwnedClaim>>,
        policy: Policy,
    ) -> Result<Acquired<Self::Grant>, StoreError> {
        let acquire = AcquireTransaction { store: &self.store, claim: claim.cloned(), timeout: policy.store_timeout };
        acquire.begin(self.options.isolation).await
    }

    /// There is nothing to write in.
    fn unreserved(&self, _: Option<Hold>) -> Option<Self::Grant> {
        None
    }

    async fn run(
        self,
        mut grant: Self::Grant,
        execution: Execution<impl Fn(Transition, &Hold) + Send + Sync + 'static>,
        mut work: F,
    ) -> Answer<R> {
        let Self { store, slot, options } = self;
        let claim = grant.hold.as_ref().map(|hold| Arc::clone(&hold.claim));
        let acquire = AcquireTransaction { store: &store, claim, timeout: execution.policy().store_timeout };
        let mut retries = options.retries;
        loop {
            let OpenGrant { transaction, hold, asked } = grant;
            execution.observe(Transition::Reserved, hold.as_ref());
            let session_id = store.session_id(&transaction);
            slot.put(transaction);
            let end = run_to_end(work(hold.as_ref()), &slot, options.timeout).await;
            if matches!(end, RunEnd::Kept | RunEnd::Stuck) {
                store.terminate(session_id).await;
            }
            let commit = CommitRun { acquire: &acquire, options, hold: hold.as_ref(), asked, execution: &execution };
            let failure = match commit.conclude(end).await {
                Conclusion::Answer(answer) => return answer,
                Conclusion::Again(failure) if retries == 0 => return Answer::RolledBack(failure),
                Conclusion::Again(failure) => failure,
            };
            warn!(error = %failure, "a transaction was rolled back; its work runs once more");
            grant = match acquire.begin_again(options.isolation, options.retries, &mut retries).await {
                Ok(grant) => grant,
                Err(answer) => return answer,
            };
        }
    }
}
