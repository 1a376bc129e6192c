use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::suite::Conformance;
use crate::store::{
    Claim, ClaimOutcome, Completion, IdempotencyRecord, IdempotencyStore, LeaseState, ReservationOutcome, StoreError,
};

/// A time that no check outlives.
pub(super) const LONG: Duration = Duration::from_mins(10);

/// The hash of a request, and of another one that differs in one bit of one byte.
pub(super) const A: [u8; 32] = [0xa5; 32];
pub(super) const B: [u8; 32] = {
    let mut hash = A;
    hash[31] ^= 1;
    hash
};

/// Why a check ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The store broke its promise.
    Broken(String),
    /// So much time went by that nothing can be said.
    TooSlow,
    /// The store does not offer what the check is about.
    NotOffered(&'static str),
}

pub(super) type Checked<T = ()> = Result<T, Stop>;

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err($crate::conformance::bench::Stop::Broken(format!($($why)+)));
        }
    };
}
pub(super) use ensure;

/// Which methods a check goes through. A store that implements all of them has two ways to reserve and to record, and
/// has to keep its promises on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `reserve_or_fetch` and `complete`.
    Required,
    /// `reserve` and `finish`.
    Extended,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "`reserve_or_fetch` and `complete`",
            Self::Extended => "`reserve` and `finish`",
        })
    }
}

/// What a check works with: the store, a principal of its own, and the measure of time.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) store: Arc<dyn IdempotencyStore>,
    pub(super) principal: Arc<str>,
    pub(super) way: Way,
    pub(super) unit: Duration,
    pub(super) leases: bool,
    pub(super) suite: Conformance,
}

/// An outcome to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<u8>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: format!("headers of {body}").into_bytes(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    pub(super) fn is_in(&self, record: &IdempotencyRecord) -> bool {
        record.response_status == self.status
            && record.response_headers == self.headers
            && record.response_body == self.body
    }
}

impl Bench {
    /// The same bench under another principal.
    pub(super) fn as_principal(&self, principal: &str) -> Self {
        Self { principal: principal.into(), ..self.clone() }
    }

    pub(super) fn units(&self, units: u32) -> Duration {
        self.unit * units
    }

    pub(super) async fn wait(&self, units: u32) {
        sleep(self.units(units)).await;
    }

    /// Starts to measure; call this before the reservation whose lease is meant.
    pub(super) fn watch(&self, lasts: Duration) -> Watch {
        Watch { since: Instant::now(), lasts: lasts.saturating_sub(self.unit / 2) }
    }

    /// Reserves `key` for `lives`, lease and retention alike.
    pub(super) async fn claim(&self, key: &str, hash: [u8; 32], lives: Duration) -> Checked<ReservationOutcome> {
        self.try_claim(key, hash, lives).await.map_err(|error| refused("reserving", &error))
    }

    /// [`claim`](Self::claim) where the store may refuse.
    pub(super) async fn try_claim(
        &self,
        key: &str,
        hash: [u8; 32],
        lives: Duration,
    ) -> Result<ReservationOutcome, StoreError> {
        match self.way {
            Way::Required => self.store.reserve_or_fetch(&self.principal, key, hash, SystemTime::now() + lives).await,
            Way::Extended => {
                let principal = &self.principal;
                let claim = Claim { principal, key, request_hash: hash, lease: lives, retention: lives };
                self.store.reserve(claim).await.map(ReservationOutcome::from)
            }
        }
    }

    /// [`claim`](Self::claim) that has to succeed.
    pub(super) async fn take(&self, key: &str, hash: [u8; 32], lives: Duration, why: &str) -> Checked<Uuid> {
        match self.claim(key, hash, lives).await? {
            ReservationOutcome::Reserved { token } => Ok(token),
            other => Err(Stop::Broken(format!("{why}: expected Reserved, got {}", describe(&other)))),
        }
    }

    /// [`take`](Self::take) of a key that is still to become free, within so many units.
    pub(super) async fn take_within(&self, units: u32, key: &str, why: &str) -> Checked<Uuid> {
        let until = Instant::now() + self.units(units);
        loop {
            match self.claim(key, A, LONG).await? {
                ReservationOutcome::Reserved { token } => return Ok(token),
                ReservationOutcome::InFlight if Instant::now() < until => self.wait(1).await,
                other => ensure!(false, "{why} the key is still {}", describe(&other)),
            }
        }
    }

    pub(super) async fn record(&self, key: &str, token: Uuid, answer: &Answer) -> Checked {
        match self.way {
            Way::Required => self.complete(key, token, answer).await,
            Way::Extended => self.finish(key, token, answer).await.map(drop),
        }
    }

    /// Records an outcome, which is replayed from then on.
    pub(super) async fn freeze(
        &self,
        key: &str,
        token: Uuid,
        answer: &Answer,
        why: &str,
    ) -> Checked<IdempotencyRecord> {
        self.record(key, token, answer).await?;
        self.replays(key, A, answer, why).await
    }

    pub(super) async fn in_flight(&self, key: &str, hash: [u8; 32], why: &str) -> Checked {
        self.sees(key, hash, ReservationOutcome::InFlight, why).await
    }

    pub(super) async fn conflict(&self, key: &str, hash: [u8; 32], why: &str) -> Checked {
        self.sees(key, hash, ReservationOutcome::Conflict, why).await
    }

    async fn sees(&self, key: &str, hash: [u8; 32], expected: ReservationOutcome, why: &str) -> Checked {
        let seen = self.claim(key, hash, LONG).await?;
        ensure!(seen == expected, "{why}: expected {}, got {}", describe(&expected), describe(&seen));
        Ok(())
    }

    pub(super) async fn replays(
        &self,
        key: &str,
        hash: [u8; 32],
        answer: &Answer,
        why: &str,
    ) -> Checked<IdempotencyRecord> {
        match self.claim(key, hash, LONG).await? {
            ReservationOutcome::Replay(record) => {
                ensure!(
                    answer.is_in(&record),
                    "{why}: expected the recorded {}, got {}",
                    describe_answer(answer),
                    describe_record(&record)
                );
                Ok(record)
            }
            other => Err(Stop::Broken(format!("{why}: expected a replay, got {}", describe(&other)))),
        }
    }

    /// Runs `count` callers at the same moment, each as a task of its own.
    pub(super) async fn rush<T, F, Fut>(&self, count: usize, caller: F) -> Checked<Vec<T>>
    where
        T: Send + 'static,
        F: Fn(Self, usize) -> Fut,
        Fut: Future<Output = Checked<T>> + Send + 'static,
    {
        let barrier = Arc::new(Barrier::new(count));
        let mut callers = JoinSet::new();
        for n in 0..count {
            let barrier = Arc::clone(&barrier);
            let call = caller(self.clone(), n);
            callers.spawn(async move {
                barrier.wait().await;
                call.await.map(|value| (n, value))
            });
        }
        let mut values = Vec::with_capacity(count);
        while let Some(joined) = callers.join_next().await {
            values.push(joined.map_err(|error| Stop::Broken(format!("the store panicked: {error}")))??);
        }
        values.sort_by_key(|(n, _)| *n);
        Ok(values.into_iter().map(|(_, value)| value).collect())
    }

    pub(super) async fn reserve_or_fetch(
        &self,
        key: &str,
        hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Checked<ReservationOutcome> {
        let seen = self.store.reserve_or_fetch(&self.principal, key, hash, expires_at).await;
        seen.map_err(|error| refused("reserve_or_fetch", &error))
    }

    pub(super) async fn reserve(
        &self,
        key: &str,
        hash: [u8; 32],
        lease: Duration,
        retention: Duration,
    ) -> Checked<ClaimOutcome> {
        let claim = Claim { principal: &self.principal, key, request_hash: hash, lease, retention };
        self.store.reserve(claim).await.map_err(|error| refused("reserve", &error))
    }

    /// [`reserve`](Self::reserve) that has to succeed.
    pub(super) async fn lease(
        &self,
        key: &str,
        hash: [u8; 32],
        lease: Duration,
        retention: Duration,
        why: &str,
    ) -> Checked<(Uuid, u32)> {
        match self.reserve(key, hash, lease, retention).await? {
            ClaimOutcome::Reserved { token, attempt } => Ok((token, attempt)),
            other => Err(Stop::Broken(format!("{why}: expected Reserved, got {}", describe(&other.into())))),
        }
    }

    /// [`lease`](Self::lease) that lasts, and is this attempt.
    pub(super) async fn attempt(&self, key: &str, hash: [u8; 32], expected: u32, why: &str) -> Checked<Uuid> {
        let (token, attempt) = self.lease(key, hash, LONG, LONG, why).await?;
        ensure!(attempt == expected, "{why}: expected attempt {expected}, but the reservation says {attempt}");
        Ok(token)
    }

    pub(super) async fn complete(&self, key: &str, token: Uuid, answer: &Answer) -> Checked {
        let done = self.store.complete(&self.principal, key, token, answer.status, &answer.headers, &answer.body).await;
        done.map_err(|error| refused("complete", &error))
    }

    pub(super) async fn finish(&self, key: &str, token: Uuid, answer: &Answer) -> Checked<LeaseState> {
        let completion = Completion {
            principal: &self.principal,
            key,
            token,
            status: answer.status,
            headers: &answer.headers,
            body: &answer.body,
        };
        self.store.finish(completion).await.map_err(|error| refused("finish", &error))
    }

    pub(super) async fn release(&self, key: &str, token: Uuid) -> Checked {
        self.store.release(&self.principal, key, token).await.map_err(|error| refused("release", &error))
    }

    pub(super) async fn renew(
        &self,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Checked<LeaseState> {
        let asked = Instant::now();
        match self.store.renew(&self.principal, key, token, lease, retention).await {
            Ok(renewed) => Ok(renewed),
            // A store may not say `Held` of a lease that has ended meanwhile.
            Err(StoreError::Unavailable(_)) if asked.elapsed() >= lease.min(retention) => Err(Stop::TooSlow),
            Err(error) => Err(refused("renew", &error)),
        }
    }

    /// Keeps every write of the store waiting until what this returns is dropped.
    pub(super) async fn stall(&self) -> Checked<Box<dyn Send>> {
        match &self.suite.stall {
            Some(stall) => Ok((stall.0)().await),
            None => {
                Err(Stop::NotOffered("no way to stall the store's writes was given, see `Conformance::stall_writes`"))
            }
        }
    }

    pub(super) async fn sweep(&self, limit: u32) -> Checked<u64> {
        self.store.sweep(limit).await.map_err(|error| refused("sweep", &error))
    }
}

/// Tells whether a lease that began after this was made has surely not ended yet.
pub(super) struct Watch {
    since: Instant,
    lasts: Duration,
}

impl Watch {
    /// Ends the check without a verdict if the lease may have ended. Whatever was seen before this call was seen within
    /// the lease.
    pub(super) fn in_time(&self) -> Checked {
        if self.since.elapsed() < self.lasts { Ok(()) } else { Err(Stop::TooSlow) }
    }

    /// `checked`, if the lease was surely running while it was made.
    pub(super) fn judge<T>(&self, checked: Checked<T>) -> Checked<T> {
        self.in_time().and(checked)
    }
}

fn refused(method: &str, error: &StoreError) -> Stop {
    Stop::Broken(format!("{method} failed: {error}"))
}

pub(super) fn describe(outcome: &ReservationOutcome) -> String {
    match outcome {
        ReservationOutcome::Reserved { .. } => "Reserved".to_owned(),
        ReservationOutcome::Replay(record) => format!("a replay of {}", describe_record(record)),
        ReservationOutcome::InFlight => "InFlight".to_owned(),
        ReservationOutcome::Conflict => "Conflict".to_owned(),
    }
}

pub(super) fn describe_record(record: &IdempotencyRecord) -> String {
    describe_parts(record.response_status, &record.response_headers, &record.response_body)
}

pub(super) fn describe_answer(answer: &Answer) -> String {
    describe_parts(answer.status, &answer.headers, &answer.body)
}

fn describe_parts(status: u16, headers: &[u8], body: &[u8]) -> String {
    let start = body.get(..body.len().min(40)).unwrap_or_default().escape_ascii();
    format!("status {status}, {} bytes of headers, {} bytes of body \"{start}\"", headers.len(), body.len())
}
