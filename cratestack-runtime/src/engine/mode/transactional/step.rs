//! A step of a leased run whose writes and record are one commit.
//!
//! ```text
//! step           begins ── its work writes in the transaction ── records the step in the run's row ── commits
//! another run    takes the key over while the work writes ─────▶ the row has another token: rolled back, and lost
//!                asks for the key ─────────────────────────────────── waits for the row ───────────── finds the step
//! ```
//!
//! The record is the last statement before the commit, so that the row is locked as briefly as can be: the lease is
//! renewed in it while the work writes. Whoever drops the step before its work has ended has it rolled back; from then
//! on it is ended on a task of its own, and whoever drops it changes nothing.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument, warn};

use super::acquire::AcquireTransaction;
use super::slot::TransactionSlot;
use crate::engine::lease::handle::LeaseWatch;
use crate::engine::lease::renewal::RenewalTarget;
use crate::engine::steps::{RunSteps, StepError, check_size, within_transaction};
use crate::engine::store_call::{store_call, too_late};
use crate::store::{CommitError, Isolation, StepRecord, StoreError, Transact};
use crate::util::{catch_panic, timeout};

/// The pause between two looks while it is unknown whether a commit has happened.
const COMMIT_POLL: Duration = Duration::from_millis(50);

/// A transaction for the work of one step, which finds it in the slot.
pub(crate) struct StepTransaction<S: Transact> {
    name: String,
    store: Arc<S>,
    slot: Arc<TransactionSlot<S::Transaction>>,
    session_id: S::SessionId,
    /// `None` where nothing protects the run: then nothing is recorded.
    run: Option<(RenewalTarget, LeaseWatch)>,
    lease: Duration,
    /// The work may take as long as a lease, however often that is renewed meanwhile.
    until: Instant,
}

impl<S: Transact> StepTransaction<S> {
    /// Begins, for at most as long as a lease lasts.
    pub(crate) async fn begin(
        run: Option<&RunSteps>,
        store: Arc<S>,
        slot: Arc<TransactionSlot<S::Transaction>>,
        (name, lease): (&str, Duration),
    ) -> Result<Self, StepError> {
        let name = name.to_owned();
        let acquire = AcquireTransaction { store: &store, claim: None, timeout: lease };
        let ask = || store_call(acquire.begin(Isolation::Default));
        let acquired = match run {
            Some(run) => run.until_there(ask).await,
            None => ask().await,
        };
        // Without a claim, nobody else can have it.
        let grant = acquired.and_then(|acquired| {
            let not_had = |_| StoreError::Internal("a transaction without a key was not had".to_owned());
            acquired.ours::<()>().map_err(not_had)
        });
        let transaction = match grant {
            Ok(grant) => grant.transaction,
            Err(error) => return Err(StepError::Store { name, error }),
        };
        let run = run.map(RunSteps::lease);
        // To begin may have taken its time.
        if run.as_ref().is_some_and(|(_, lease)| !lease.lasts()) {
            store.rollback(transaction).await;
            return Err(StepError::Lost { name });
        }
        let session_id = store.session_id(&transaction);
        slot.put(transaction);
        Ok(Self { name, store, slot, session_id, run, lease, until: Instant::now() + lease })
    }

    /// Runs the work, which finds the transaction in the slot and gives it back. Where it takes too long, it is
    /// dropped.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T, StepError> {
        let left = self.until.saturating_duration_since(Instant::now());
        let done = timeout(left, within_transaction(self.name.clone(), work)).await;
        // Work that blocks its thread is ready before the time is looked at.
        match done {
            Ok(done) if Instant::now() < self.until => Ok(done),
            _ => Err(StepError::TimedOut { name: self.name.clone(), limit: self.lease }),
        }
    }

    /// Undoes what the work has written. Says whether the database had given the transaction up before that.
    pub(crate) async fn roll_back(self) -> bool {
        let Some(mut transaction) = self.slot.take() else {
            self.store.terminate(self.session_id).await;
            return false;
        };
        let has_failed = self.store.has_failed(&mut transaction).await;
        self.store.rollback(transaction).await;
        has_failed
    }

    /// Records the step and commits, in one commit with what the work wrote.
    pub(crate) async fn commit(self, value: Vec<u8>) -> Result<(), StepError> {
        if let Err(error) = check_size(&self.name, &value) {
            self.roll_back().await;
            return Err(error);
        }
        let name = self.name.clone();
        // Until it is known what became of it.
        self.run.iter().for_each(|(_, lease)| lease.step_is_done());
        let committing = async move { catch_panic(self.commit_to_end(&value)).await }.in_current_span();
        let panicked = || StoreError::Internal("the store panicked, or the runtime is shutting down".to_owned());
        match tokio::spawn(committing).await {
            Ok(Some(committed)) => committed,
            Ok(None) | Err(_) => Err(StepError::Unknown { name, error: panicked() }),
        }
    }

    async fn commit_to_end(&self, value: &[u8]) -> Result<(), StepError> {
        let name = self.name.clone();
        let Some(transaction) = self.slot.take() else {
            self.store.terminate(self.session_id).await;
            let error = StoreError::Internal("the transaction outlived its step's closure".to_owned());
            return Err(StepError::Unknown { name, error });
        };
        let committed = match &self.run {
            Some((target, _)) => self.store.commit_step(transaction, record(target, &name, value)).await,
            None => self.store.commit(transaction, None).await,
        };
        let committed = match committed {
            Ok(()) => Ok(()),
            Err(CommitError::Taken) => {
                self.run.iter().for_each(|(_, lease)| lease.lose());
                Err(StepError::Lost { name })
            }
            Err(CommitError::Ended) => Err(StepError::Ended { name }),
            Err(CommitError::Transient(error)) => Err(StepError::RolledBack { name, error }),
            Err(CommitError::Refused(error)) => Err(StepError::Refused { name, error }),
            Err(CommitError::Unknown(error)) => self.find_out(error).await,
        };
        // What may be written and is not recorded keeps the run's key for its own request.
        if !matches!(committed, Err(StepError::Ended { .. } | StepError::Unknown { .. })) {
            self.run.iter().for_each(|(_, lease)| lease.step_is_recorded());
        }
        committed
    }

    /// Whether a commit has happened whose answer was lost: once its session has ended, the store knows.
    async fn find_out(&self, error: StoreError) -> Result<(), StepError> {
        let name = self.name.clone();
        let Some((target, lease)) = &self.run else { return Err(StepError::Unknown { name, error }) };
        warn!(%error, step = name, "no answer to the commit of a transaction step; asking whether it happened");
        let until = Instant::now() + self.lease;
        while Instant::now() < until {
            if timeout(self.lease, self.store.terminate(self.session_id)).await == Ok(true)
                && let Some(is_recorded) = self.is_recorded(target).await
            {
                return if is_recorded {
                    Ok(())
                } else if lease.lasts() {
                    // The token was this run's when its steps were read, so they were all there are.
                    Err(StepError::RolledBack { name, error })
                } else {
                    Err(StepError::Unknown { name, error })
                };
            }
            tokio::time::sleep(COMMIT_POLL).await;
        }
        Err(StepError::Unknown { name, error })
    }

    async fn is_recorded(&self, target: &RenewalTarget) -> Option<bool> {
        let id = &target.hold.claim.id;
        let steps = store_call(self.store.steps(id.principal(), id.key(), target.hold.token));
        let steps = timeout(self.lease, steps).await.unwrap_or_else(|_| Err(too_late(self.lease))).ok()?;
        Some(steps.iter().any(|step| step.name == self.name))
    }
}

impl<S: Transact> Drop for StepTransaction<S> {
    /// Its work was dropped halfway, or has panicked.
    fn drop(&mut self) {
        if let (Some(transaction), Ok(runtime)) = (self.slot.take(), tokio::runtime::Handle::try_current()) {
            let store = Arc::clone(&self.store);
            runtime.spawn(async move { store.rollback(transaction).await });
        }
    }
}

fn record<'a>(target: &'a RenewalTarget, name: &'a str, value: &'a [u8]) -> StepRecord<'a> {
    let id = &target.hold.claim.id;
    StepRecord { principal: id.principal(), key: id.key(), token: target.hold.token, name, value }
}
