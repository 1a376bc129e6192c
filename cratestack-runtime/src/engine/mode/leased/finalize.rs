//! The end of a run: its outcome is written down, or its key given back.
//!
//! ```text
//! the work ends          the outcome is written under the lease, and the caller waits for that
//! no answer, or a no     the caller gets its reply; duplicates here are answered from the outcome
//! written                duplicates ask the store
//! taken over meanwhile   what the other run has recorded counts
//! ```

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument, debug, error, info, warn};

use crate::engine::lease::handle::Lease;
use crate::engine::lease::renewal::RenewalTarget;
use crate::engine::life::Execution;
use crate::engine::model::{Answer, Disposition, Hold, Outcome, Settled, Transition};
use crate::engine::retry::{Call, Recovery, until_answered};
use crate::engine::store_call::{store_call, too_late};
use crate::store::{AtOnce, Completion, LeaseState, StoreError};
use crate::util::timeout;

/// A caller waits this long for its outcome to be written.
const FIRST_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A run of leased work whose work has ended.
pub(super) struct Finalize<O> {
    pub(super) target: RenewalTarget,
    pub(super) lease: Lease,
    pub(super) recovery: Arc<Recovery>,
    pub(super) execution: Execution<O>,
}

impl<O: Fn(Transition, &Hold) + Send + Sync + 'static> Finalize<O> {
    /// Writes the outcome down. The answer waits for that for a while only; then it goes on behind the answer, under
    /// the lease, until the store has answered or the outcome is no longer worth keeping. Where the work panicked,
    /// nothing is `settled`.
    pub(super) async fn finalize<R>(mut self, settled: Option<Settled<R>>) -> Answer<R> {
        let (disposition, answer) = if let Some(Settled { disposition, reply, .. }) = settled {
            (disposition, Answer::Ran(reply))
        } else {
            self.execution.observe(Transition::Panicked, Some(&self.target.hold));
            (Disposition::Release, Answer::Panicked)
        };
        self.execution.has_run(disposition.bytes());
        match disposition {
            Disposition::Record(_) => self.lease.pause_renewal(),
            // The end of the lease gives the key back as well.
            Disposition::Release => self.lease.abandon(),
        }
        if matches!(disposition, Disposition::Release) && self.lease.has_unrecorded_step() {
            return self.leave_to_its_request(answer);
        }
        let disposition = match (disposition, self.target.store.at_once()) {
            (Disposition::Record(outcome), Some(store)) => return self.record_at_once(store, outcome, answer),
            (disposition, _) => disposition,
        };
        // Once the outcome is under way, a renewal may find the key taken by that.
        let was_lost = self.lease.is_lost();
        let disposition = Arc::new(disposition);
        let mut first = write(&self.target, &disposition);
        let written = self.lease.during(timeout(FIRST_WRITE_TIMEOUT, &mut first)).await;
        let first = match written {
            Ok(Ok(state)) => {
                return if self.conclude(&disposition, state) { answer } else { Answer::Lost };
            }
            _ if was_lost => {
                self.conclude(&disposition, LeaseState::Lost);
                return Answer::Lost;
            }
            Ok(Err(failure)) => {
                not_written(&disposition, &failure);
                None
            }
            Err(_) => {
                not_written(&disposition, &too_late(FIRST_WRITE_TIMEOUT));
                Some(first)
            }
        };
        tokio::spawn(self.retry_until_written(disposition, first).in_current_span());
        answer
    }

    /// Such a store has no sessions, and so nothing is kept for replay beside it.
    fn record_at_once<R>(&self, store: &dyn AtOnce, outcome: Outcome, answer: Answer<R>) -> Answer<R> {
        let Hold { claim, token, .. } = &self.target.hold;
        let Outcome { code, metadata, body } = outcome;
        let is_written = store.finish_at_once(&claim.id, *token, code, metadata, body) == LeaseState::Held;
        let transition = if is_written { Transition::Recorded { code } } else { Transition::Lost };
        self.execution.observe(transition, Some(&self.target.hold));
        if is_written { answer } else { Answer::Lost }
    }

    /// A step of the run had its effect, and is not recorded. The key is therefore not given back, which could be to
    /// another request: the end of the lease leaves it to this one.
    fn leave_to_its_request<R>(&self, answer: Answer<R>) -> Answer<R> {
        if self.lease.is_lost() {
            self.execution.observe(Transition::Lost, Some(&self.target.hold));
            return Answer::Lost;
        }
        warn!("a step was done and is not recorded: its run's key is free when the lease ends, for this request alone");
        answer
    }

    async fn retry_until_written(mut self, disposition: Arc<Disposition>, first: Option<Call<LeaseState>>) {
        // The end of the lease gives a key back as well.
        let is_of_use_for = match &*disposition {
            Disposition::Record(outcome) => {
                let RenewalTarget { hold, asked, .. } = &self.target;
                self.execution.tell_here(outcome.to_record(&hold.claim, *asked));
                self.target.remaining()
            }
            Disposition::Release => {
                // A key that is given back is no longer this run's concern.
                self.execution.free_key();
                self.target.hold.claim.lease
            }
        };
        let since = Instant::now();
        let call = || write(&self.target, &disposition);
        let refused = |failure: &StoreError| debug!(error = %failure, "idempotency outcome still not written");
        let written = self.lease.during(until_answered(&self.recovery, first, call, refused));
        let mut written = pin!(tokio::time::timeout(is_of_use_for, written));
        let written = tokio::select! {
            biased;
            written = &mut written => written,
            () = self.lease.lost() => {
                // Whether by another run or by this very outcome, the store knows.
                self.execution.free_key();
                written.await
            }
        };
        match written {
            Ok(LeaseState::Lost) => {
                error!("idempotency outcome lost: the lease ended before it could be written, and the work ran again");
                self.conclude(&disposition, LeaseState::Lost);
            }
            Ok(state) => {
                info!(after = ?since.elapsed(), "idempotency outcome written late");
                self.conclude(&disposition, state);
            }
            Err(_) => error!(stake = disposition.stake(), "idempotency outcome given up: it is of no more use"),
        }
    }

    /// The store has answered; says whether the outcome is the one that counts.
    fn conclude(&self, disposition: &Disposition, state: LeaseState) -> bool {
        let RenewalTarget { hold, asked, .. } = &self.target;
        let is_written = state == LeaseState::Held || (state == LeaseState::Unknown && !self.lease.is_lost());
        match disposition {
            _ if !is_written => self.execution.observe(Transition::Lost, Some(hold)),
            Disposition::Record(outcome) => {
                self.execution.recorded(hold, outcome, (state == LeaseState::Held).then_some(*asked));
            }
            Disposition::Release => self.execution.observe(Transition::Released, Some(hold)),
        }
        is_written
    }
}

fn not_written(disposition: &Disposition, failure: &StoreError) {
    let stake = disposition.stake();
    error!(error = %failure, stake, "idempotency outcome not written; trying again in the background");
}

fn write(target: &RenewalTarget, disposition: &Arc<Disposition>) -> Call<LeaseState> {
    let (target, disposition) = (target.clone(), Arc::clone(disposition));
    Box::pin(async move {
        let RenewalTarget { store, hold: Hold { claim, token, .. }, .. } = &target;
        // The store itself, as for a renewal.
        let (store, token, principal, key) = (&**store, *token, claim.id.principal(), claim.id.key());
        let written = async {
            match &*disposition {
                Disposition::Record(Outcome { code: status, metadata: headers, body }) => {
                    store.finish(Completion { principal, key, token, status: *status, headers, body }).await
                }
                Disposition::Release => store.release(principal, key, token).await.map(|()| LeaseState::Unknown),
            }
        };
        store_call(written).await
    })
}
