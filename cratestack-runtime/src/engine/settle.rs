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
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::{Instrument, debug, error, info};

use super::lease::Lease;
use super::limits::Admission;
use super::local::KeyTurn;
use super::model::{Answer, Disposition, Hold, Outcome, Settled, Step};
use super::replay_cache::{ReplayCache, Witness};
use super::reserve::remaining;
use super::retry::{Call, Recovery, until_answered};
use super::store_call::store_call;
use super::tasks::Running;
use crate::store::{Completion, IdempotencyRecord, IdempotencyStore, LeaseState, StoreError};
use crate::util::timeout;

/// A caller waits this long for its outcome to be written.
const FIRST_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A run of guarded work, from the moment that its key is reserved.
pub(super) struct Run<O> {
    pub(super) store: Arc<dyn IdempotencyStore>,
    pub(super) hold: Hold,
    pub(super) lease: Lease,
    pub(super) observe: O,
    pub(super) replay_cache: Arc<ReplayCache>,
    pub(super) witness: Witness,
    pub(super) recovery: Arc<Recovery>,
    /// `None` once the key is free in this process.
    pub(super) turn: Option<KeyTurn>,
    pub(super) admission: Admission,
    /// When its reservation was asked for.
    pub(super) asked: Instant,
    /// Counted until it ends.
    pub(super) _running: Running,
}

impl<O: Fn(Step, &Hold) + Send + Sync + 'static> Run<O> {
    /// Writes the outcome down. The answer waits for that for a while only; then it goes on behind the answer, under the lease,
    /// until the store has answered or the outcome is no longer worth keeping.
    pub(super) async fn settle<R>(mut self, settled: Option<Settled<R>>) -> Answer<R> {
        let (disposition, answer) = if let Some(Settled { disposition, reply, .. }) = settled {
            (disposition, Answer::Ran(reply))
        } else {
            (self.observe)(Step::Panicked, &self.hold);
            (Disposition::Release, Answer::Panicked)
        };
        self.admission.keep(disposition.bytes());
        match disposition {
            Disposition::Record(_) => self.lease.settles(),
            // The end of the lease gives the key back as well.
            Disposition::Release => self.lease.abandon(),
        }
        // Once the outcome is under way, a renewal may find the key taken by that.
        let was_lost = self.lease.is_lost();
        let disposition = Arc::new(disposition);
        let mut first = write(&self.store, &self.hold, &disposition);
        let written = self.lease.during(timeout(FIRST_WRITE_TIMEOUT, &mut first)).await;
        let first = match written {
            Ok(Ok(state)) => {
                return if self.end(&disposition, state) { answer } else { Answer::Lost };
            }
            _ if was_lost => {
                self.end(&disposition, LeaseState::Lost);
                return Answer::Lost;
            }
            Ok(Err(failure)) => {
                not_written(&disposition, &failure);
                None
            }
            Err(_) => {
                let late = format!("no answer within {FIRST_WRITE_TIMEOUT:?}");
                not_written(&disposition, &StoreError::Unavailable(late));
                Some(first)
            }
        };
        tokio::spawn(self.write_late(disposition, first).in_current_span());
        answer
    }

    async fn write_late(mut self, disposition: Arc<Disposition>, first: Option<Call<LeaseState>>) {
        match self.hold.record(&disposition, self.asked).zip(self.turn.as_ref()) {
            Some((record, turn)) => turn.hold(Arc::new(record)),
            // A key that is given back is no longer this run's concern: duplicates ask the store.
            None => self.turn = None,
        }
        let since = Instant::now();
        // The end of the lease gives a key back as well.
        let is_of_use_for = match *disposition {
            Disposition::Record(_) => remaining(&self.hold.claim, self.asked),
            Disposition::Release => self.hold.claim.lease,
        };
        let call = || write(&self.store, &self.hold, &disposition);
        let refused = |failure: &StoreError| debug!(error = %failure, "idempotency outcome still not written");
        let written = self.lease.during(until_answered(&self.recovery, first, call, refused));
        let mut written = pin!(tokio::time::timeout(is_of_use_for, written));
        let written = tokio::select! {
            biased;
            written = &mut written => written,
            () = self.lease.lost() => {
                // Whether by another run or by this very outcome, the store knows.
                self.turn = None;
                written.await
            }
        };
        match written {
            Ok(LeaseState::Lost) => {
                error!(
                    "idempotency outcome lost: the lease ended before it could be written, and the request ran again"
                );
                self.end(&disposition, LeaseState::Lost);
            }
            Ok(state) => {
                info!(after = ?since.elapsed(), "idempotency outcome written late");
                self.end(&disposition, state);
            }
            Err(_) => error!(stake = disposition.stake(), "idempotency outcome given up: it is of no more use"),
        }
    }

    /// The store has answered; says whether the outcome is the one that counts.
    fn end(&self, disposition: &Disposition, state: LeaseState) -> bool {
        let is_written = state == LeaseState::Held || (state == LeaseState::Unknown && !self.lease.is_lost());
        let step = match disposition {
            _ if !is_written => Step::Lost,
            Disposition::Record(outcome) => Step::Recorded { code: outcome.code },
            Disposition::Release => Step::Released,
        };
        (self.observe)(step, &self.hold);
        if state == LeaseState::Held {
            self.replay_cache.insert_recorded(self.witness, &self.hold, disposition, self.asked);
        }
        is_written
    }
}

fn not_written(disposition: &Disposition, failure: &StoreError) {
    let stake = disposition.stake();
    error!(error = %failure, stake, "idempotency outcome not written; trying again in the background");
}

fn write(store: &Arc<dyn IdempotencyStore>, hold: &Hold, disposition: &Arc<Disposition>) -> Call<LeaseState> {
    let (store, hold, disposition) = (Arc::clone(store), hold.clone(), Arc::clone(disposition));
    Box::pin(async move {
        let written = async {
            match &*disposition {
                Disposition::Record(Outcome { code: status, metadata: headers, body }) => {
                    let (principal, key, token) = (hold.claim.id.principal(), hold.claim.id.key(), hold.token);
                    store.finish(Completion { principal, key, token, status: *status, headers, body }).await
                }
                Disposition::Release => {
                    let Hold { claim, token, .. } = &hold;
                    store.release(claim.id.principal(), claim.id.key(), *token).await.map(|()| LeaseState::Unknown)
                }
            }
        };
        store_call(written).await
    })
}

impl Hold {
    /// The outcome as the store would tell it; `None` of one that gives the key back.
    pub(super) fn record(&self, disposition: &Disposition, asked: Instant) -> Option<IdempotencyRecord> {
        let Disposition::Record(outcome) = disposition else { return None };
        let created_at = SystemTime::now().checked_sub(asked.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(IdempotencyRecord {
            key: self.claim.id.key().to_owned(),
            principal_fingerprint: self.claim.id.principal().to_owned(),
            request_hash: self.claim.request_hash,
            response_status: outcome.code,
            response_headers: outcome.metadata.clone(),
            response_body: outcome.body.to_vec(),
            created_at,
            expires_at: created_at.checked_add(self.claim.retention).unwrap_or(created_at),
        })
    }
}
