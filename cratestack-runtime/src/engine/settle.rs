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

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{Instrument, debug, error, info};

use super::guard::{Answer, Hold, Step};
use super::lease::Lease;
use super::limits::Admission;
use super::local::KeyTurn;
use super::replay_cache::{ReplayCache, Witness};
use super::reserve::remaining;
use super::retry::{Call, Recovery, until_answered};
use super::tasks::Running;
use super::{caught_of_store, within};
use crate::store::{Completion, IdempotencyRecord, IdempotencyStore, StoreError, Tenure};

/// What a finished run leaves: what becomes of its key, and the reply to whoever asked.
#[derive(Debug)]
pub(crate) struct Settled<R> {
    pub(crate) verdict: Verdict,
    pub(crate) reply: R,
    /// Where the reply tells of one.
    pub(crate) failure: Option<Failure>,
}

/// Why the work failed, as far as its reply says; a transaction depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Transactions were in each other's way.
    Transient,
    /// As the work has it.
    Deliberate,
    /// Something broke, and the reply does not tell what.
    Unknown,
}

/// What becomes of the key.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// The outcome is frozen.
    Record { status: u16, headers: Vec<u8>, body: Bytes },
    /// The key is given back: nothing happened.
    Release,
}

impl Verdict {
    /// How many bytes it takes while it waits to be written, besides what every run takes.
    fn bytes(&self) -> usize {
        match self {
            Self::Record { headers, body, .. } => headers.len() + body.len(),
            Self::Release => 0,
        }
    }

    /// What is lost while it is not written.
    fn stake(&self) -> &'static str {
        match self {
            Self::Record { .. } => {
                "the client has its answer, but a retry at another process after the lease would run the handler again"
            }
            Self::Release => "a retry is answered 409 until the lease ends",
        }
    }
}

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
        let (verdict, answer) = if let Some(Settled { verdict, reply, .. }) = settled {
            (verdict, Answer::Ran(reply))
        } else {
            (self.observe)(Step::Panicked, &self.hold);
            (Verdict::Release, Answer::Panicked)
        };
        self.admission.keep(verdict.bytes());
        match verdict {
            Verdict::Record { .. } => self.lease.settles(),
            // The end of the lease gives the key back as well.
            Verdict::Release => self.lease.abandon(),
        }
        // Once the outcome is under way, a renewal may find the key taken by that.
        let was_lost = self.lease.is_lost();
        let verdict = Arc::new(verdict);
        let mut first = write(&self.store, &self.hold, &verdict);
        let written = self.lease.during(within(FIRST_WRITE_TIMEOUT, &mut first)).await;
        let first = match written {
            Ok(Ok(tenure)) => {
                return if self.end(&verdict, tenure) { answer } else { Answer::Lost };
            }
            _ if was_lost => {
                self.end(&verdict, Tenure::Lost);
                return Answer::Lost;
            }
            Ok(Err(failure)) => {
                not_written(&verdict, &failure);
                None
            }
            Err(_) => {
                let late = format!("no answer within {FIRST_WRITE_TIMEOUT:?}");
                not_written(&verdict, &StoreError::Unavailable(late));
                Some(first)
            }
        };
        tokio::spawn(self.write_late(verdict, first).in_current_span());
        answer
    }

    async fn write_late(mut self, verdict: Arc<Verdict>, first: Option<Call<Tenure>>) {
        match self.hold.record(&verdict, self.asked).zip(self.turn.as_ref()) {
            Some((record, turn)) => turn.hold(Arc::new(record)),
            // A key that is given back is no longer this run's concern: duplicates ask the store.
            None => self.turn = None,
        }
        let since = Instant::now();
        // The end of the lease gives a key back as well.
        let is_of_use_for = match *verdict {
            Verdict::Record { .. } => remaining(&self.hold.claim, self.asked),
            Verdict::Release => self.hold.claim.lease,
        };
        let call = || write(&self.store, &self.hold, &verdict);
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
            Ok(Tenure::Lost) => {
                error!(
                    "idempotency outcome lost: the lease ended before it could be written, and the request ran again"
                );
                self.end(&verdict, Tenure::Lost);
            }
            Ok(tenure) => {
                info!(after = ?since.elapsed(), "idempotency outcome written late");
                self.end(&verdict, tenure);
            }
            Err(_) => error!(stake = verdict.stake(), "idempotency outcome given up: it is of no more use"),
        }
    }

    /// The store has answered; says whether the outcome is the one that counts.
    fn end(&self, verdict: &Verdict, tenure: Tenure) -> bool {
        let is_written = tenure == Tenure::Held || (tenure == Tenure::Unknown && !self.lease.is_lost());
        let step = match verdict {
            _ if !is_written => Step::Lost,
            Verdict::Record { status, .. } => Step::Recorded { status: *status },
            Verdict::Release => Step::Released,
        };
        (self.observe)(step, &self.hold);
        if tenure == Tenure::Held {
            self.replay_cache.insert_recorded(self.witness, &self.hold, verdict, self.asked);
        }
        is_written
    }
}

fn not_written(verdict: &Verdict, failure: &StoreError) {
    let stake = verdict.stake();
    error!(error = %failure, stake, "idempotency outcome not written; trying again in the background");
}

fn write(store: &Arc<dyn IdempotencyStore>, hold: &Hold, verdict: &Arc<Verdict>) -> Call<Tenure> {
    let (store, hold, verdict) = (Arc::clone(store), hold.clone(), Arc::clone(verdict));
    Box::pin(async move {
        let written = async {
            match &*verdict {
                Verdict::Record { status, headers, body } => {
                    let (principal, key, token) = (hold.claim.principal.as_str(), hold.claim.key.as_str(), hold.token);
                    store.finish(Completion { principal, key, token, status: *status, headers, body }).await
                }
                Verdict::Release => {
                    let Hold { claim, token, .. } = &hold;
                    store.release(&claim.principal, &claim.key, *token).await.map(|()| Tenure::Unknown)
                }
            }
        };
        caught_of_store(written).await
    })
}

impl Hold {
    /// The outcome as the store would tell it; `None` of one that gives the key back.
    pub(super) fn record(&self, verdict: &Verdict, asked: Instant) -> Option<IdempotencyRecord> {
        let Verdict::Record { status, headers, body } = verdict else { return None };
        let created_at = SystemTime::now().checked_sub(asked.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(IdempotencyRecord {
            key: self.claim.key.clone(),
            principal_fingerprint: self.claim.principal.clone(),
            request_hash: self.claim.request_hash,
            response_status: *status,
            response_headers: headers.clone(),
            response_body: body.to_vec(),
            created_at,
            expires_at: created_at.checked_add(self.claim.retention).unwrap_or(created_at),
        })
    }
}
