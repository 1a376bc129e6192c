use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{Instrument, error, info, warn};

use super::guard::{Answer, Hold, Step};
use super::lease::Lease;
use super::replay_cache::{ReplayCache, Witness};
use super::rooms::Rooms;
use super::tasks::Running;
use super::{caught_of_store, within};
use crate::store::{Completion, IdempotencyStore, StoreError, Tenure};

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
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The outcome is frozen.
    Record { status: u16, headers: Vec<u8>, body: Bytes },
    /// The key is given back: nothing happened.
    Release,
}

/// The pauses between attempts to write an outcome down grow from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));
/// The store's answer to one attempt is awaited this long.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A run of guarded work, from the moment that its key is reserved.
pub(super) struct Run<O> {
    pub(super) store: Arc<dyn IdempotencyStore>,
    pub(super) hold: Hold,
    pub(super) lease: Lease,
    pub(super) observe: O,
    pub(super) replay_cache: Arc<ReplayCache>,
    pub(super) witness: Witness,
    pub(super) rooms: Arc<Rooms>,
    /// When its reservation was asked for.
    pub(super) asked: Instant,
    /// Counted until it ends.
    pub(super) _running: Running,
}

impl<O: Fn(Step, &Hold) + Send + Sync + 'static> Run<O> {
    /// Writes the outcome down. The answer waits for the first attempt only; later ones go on behind it, under the
    /// lease, until the store has answered or the outcome is no longer worth keeping.
    pub(super) async fn settle<R>(self, settled: Option<Settled<R>>) -> Answer<R> {
        let (verdict, answer) = if let Some(Settled { verdict, reply, .. }) = settled {
            (verdict, Answer::Ran(reply))
        } else {
            (self.observe)(Step::Panicked, &self.hold);
            (Verdict::Release, Answer::Panicked)
        };
        match verdict {
            Verdict::Record { .. } => self.lease.settles(),
            // The end of the lease gives the key back as well.
            Verdict::Release => self.lease.abandon(),
        }
        match self.lease.during(write(&*self.store, &self.hold, &verdict)).await {
            Ok(tenure) => {
                if self.end(&verdict, tenure) {
                    answer
                } else {
                    Answer::Lost
                }
            }
            Err(failure) => {
                let late = async move {
                    let persisted = persist(&*self.store, &self.hold, &verdict, failure);
                    if let Some(tenure) = self.lease.during(persisted).await {
                        self.end(&verdict, tenure);
                    }
                };
                tokio::spawn(late.in_current_span());
                answer
            }
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
        self.rooms.knock(&self.hold.claim);
        is_written
    }
}

/// Tries again until the store has answered; `None` where the outcome is no longer worth keeping.
async fn persist(store: &dyn IdempotencyStore, hold: &Hold, verdict: &Verdict, failure: StoreError) -> Option<Tenure> {
    let stake = match verdict {
        Verdict::Record { .. } => "the client has its answer, but a retry after the lease would run the handler again",
        Verdict::Release => "a retry is answered 409 until the lease ends",
    };
    error!(error = %failure, stake, "idempotency outcome not written; trying again in the background");
    let since = Instant::now();
    let mut pause = BACKOFF.0;
    while since.elapsed() < hold.claim.retention {
        tokio::time::sleep(pause).await;
        pause = BACKOFF.1.min(pause * 2);
        match write(store, hold, verdict).await {
            Ok(Tenure::Lost) => {
                error!(
                    "idempotency outcome lost: the lease ended before it could be written, and the request ran again"
                );
                return Some(Tenure::Lost);
            }
            Ok(tenure) => {
                info!(after = ?since.elapsed(), "idempotency outcome written late");
                return Some(tenure);
            }
            Err(failure) => warn!(error = %failure, stake, "idempotency outcome still not written"),
        }
    }
    error!(stake, "idempotency outcome given up: its retention has passed");
    None
}

async fn write(store: &dyn IdempotencyStore, hold: &Hold, verdict: &Verdict) -> Result<Tenure, StoreError> {
    let (principal, key, token) = (hold.claim.principal.as_str(), hold.claim.key.as_str(), hold.token);
    let writing = async {
        match verdict {
            Verdict::Record { status, headers, body } => {
                store.finish(Completion { principal, key, token, status: *status, headers, body }).await
            }
            Verdict::Release => store.release(principal, key, token).await.map(|()| Tenure::Unknown),
        }
    };
    let late = |_| Err(StoreError::Unavailable(format!("no answer within {ATTEMPT:?}")));
    caught_of_store(async { within(ATTEMPT, writing).await.unwrap_or_else(late) }).await
}
