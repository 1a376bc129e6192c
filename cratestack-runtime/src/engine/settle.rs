use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::guard::{Answer, Hold, Step};
use super::lease::Lease;
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

/// Writes the outcome down and replies. The reply waits for the first attempt only; later ones go on behind it, under
/// the lease, until the store has answered or the outcome is no longer worth keeping.
///
/// Returns what the store says that it has recorded.
pub(crate) async fn settle<R>(
    store: &dyn IdempotencyStore,
    hold: &Hold,
    mut lease: Lease,
    settled: Option<Settled<R>>,
    reply: oneshot::Sender<Answer<R>>,
    observe: &impl Fn(Step, &Hold),
) -> Option<Verdict> {
    let (verdict, answer) = if let Some(Settled { verdict, reply, .. }) = settled {
        (verdict, Answer::Ran(reply))
    } else {
        observe(Step::Panicked, hold);
        (Verdict::Release, Answer::Panicked)
    };
    let written = match &verdict {
        Verdict::Record { status, .. } => Step::Recorded { status: *status },
        Verdict::Release => Step::Released,
    };
    if matches!(verdict, Verdict::Release) {
        // The end of the lease gives the key back as well.
        lease.abandon();
    }
    match lease.during(write(store, hold, &verdict)).await {
        Ok(tenure) if tenure == Tenure::Held || (tenure == Tenure::Unknown && !lease.is_lost()) => {
            observe(written, hold);
            drop(reply.send(answer));
            (tenure == Tenure::Held).then_some(verdict)
        }
        Ok(_) => {
            observe(Step::Lost, hold);
            drop(reply.send(Answer::Lost));
            None
        }
        Err(failure) => {
            drop(reply.send(answer));
            let tenure = lease.during(persist(store, hold, &verdict, failure)).await?;
            observe(if tenure == Tenure::Lost { Step::Lost } else { written }, hold);
            (tenure == Tenure::Held).then_some(verdict)
        }
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
    tokio::time::timeout(ATTEMPT, writing)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {ATTEMPT:?}"))))
}
