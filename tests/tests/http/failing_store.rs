//! A store behind a plan of failures: what a call comes to is told method by method, and may change at any time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cratestack_runtime::{
    Claim, ClaimOutcome, ClockSample, Completion, Idempotency, IdempotencyStore, LeaseState, MemoryStore,
    ReservationOutcome, StoreError, Watch, async_trait,
};
use tokio::time::sleep;
use uuid::Uuid;

use crate::app::App;

/// The methods that the plan has a word for. The others are handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Reserve,
    Renew,
    Finish,
    Release,
    Watch,
}

/// By which a process comes to a key, keeps it and gives it up.
const ALL_WRITES: [Method; 4] = [Method::Reserve, Method::Renew, Method::Finish, Method::Release];

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It is refused, and changes nothing.
    Refused,
    /// The store panics.
    Panics,
    /// A watch is had, and panics once somebody waits for it.
    PanicsLater,
    /// It changes nothing, and is never answered.
    Unanswered,
    /// The same, for this key only.
    UnansweredFor(&'static str),
    /// It reaches the rows this late.
    Delayed(Duration),
    /// It reaches the rows at once, and its answer comes this late.
    AnsweredLate(Duration),
    /// The same, where the answer is that the key is reserved.
    ReservedLate(Duration),
    /// It changes nothing, and the answer is that another process has the key.
    Overtaken,
}

/// A memory store whose calls come to what the plan says, and else are handed on.
#[derive(Default)]
pub struct FailingStore {
    pub inner: MemoryStore,
    /// How long each call takes, whatever it comes to; a release and a watch take none.
    latency: Duration,
    plan: Mutex<HashMap<Method, Failure>>,
    called: Mutex<HashMap<Method, usize>>,
    handed_on: Mutex<HashMap<Method, usize>>,
}

impl FailingStore {
    pub fn with_latency(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }

    /// From now on, calls of this method come to this.
    pub fn fail(&self, method: Method, failure: Failure) {
        self.plan.lock().unwrap().insert(method, failure);
    }

    pub fn mend(&self, method: Method) {
        self.plan.lock().unwrap().remove(&method);
    }

    pub fn fail_every_write(&self, failure: Failure) {
        for method in ALL_WRITES {
            self.fail(method, failure);
        }
    }

    pub fn mend_every_write(&self) {
        for method in ALL_WRITES {
            self.mend(method);
        }
    }

    /// How often the method was called, whatever came of it.
    pub fn called(&self, method: Method) -> usize {
        self.called.lock().unwrap().get(&method).copied().unwrap_or_default()
    }

    /// How often a call of it has got to the rows.
    pub fn handed_on(&self, method: Method) -> usize {
        self.handed_on.lock().unwrap().get(&method).copied().unwrap_or_default()
    }

    fn planned(&self, method: Method) -> Option<Failure> {
        self.plan.lock().unwrap().get(&method).copied()
    }

    /// What comes of a call: its own answer, or what the plan has for it. `overtaken` answers for another process.
    async fn call<T>(
        &self,
        method: Method,
        key: &str,
        overtaken: T,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        *self.called.lock().unwrap().entry(method).or_default() += 1;
        if !self.latency.is_zero() && !matches!(method, Method::Release | Method::Watch) {
            sleep(self.latency).await;
        }
        let planned = self.planned(method);
        match planned {
            Some(Failure::Refused) => return Err(StoreError::Unavailable("switched off".to_owned())),
            Some(Failure::Panics) => panic!("told to panic"),
            Some(Failure::Unanswered) => std::future::pending().await,
            Some(Failure::UnansweredFor(unanswered)) if key == unanswered => std::future::pending().await,
            Some(Failure::Overtaken) => return Ok(overtaken),
            Some(Failure::Delayed(delay)) => sleep(delay).await,
            _ => {}
        }
        *self.handed_on.lock().unwrap().entry(method).or_default() += 1;
        let answer = call.await;
        if let Some(Failure::AnsweredLate(delay)) = planned {
            sleep(delay).await;
        }
        answer
    }
}

#[async_trait]
impl IdempotencyStore for FailingStore {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        self.inner.reserve_or_fetch(principal, key, request_hash, expires_at).await
    }

    async fn complete(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Result<(), StoreError> {
        self.inner.complete(principal, key, token, status, headers, body).await
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        self.call(Method::Release, key, (), self.inner.release(principal, key, token)).await
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        let reserving = self.inner.reserve(claim);
        let outcome = self.call(Method::Reserve, claim.key, ClaimOutcome::InFlight, reserving).await;
        if let (Ok(ClaimOutcome::Reserved { .. }), Some(Failure::ReservedLate(delay))) =
            (&outcome, self.planned(Method::Reserve))
        {
            sleep(delay).await;
        }
        outcome
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        let renewing = self.inner.renew(principal, key, token, lease, retention);
        self.call(Method::Renew, key, LeaseState::Lost, renewing).await
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        self.call(Method::Finish, completion.key, LeaseState::Lost, self.inner.finish(completion)).await
    }

    async fn watch(&self, principal: &str, key: &str) -> Result<Option<Watch>, StoreError> {
        if self.planned(Method::Watch) == Some(Failure::PanicsLater) {
            return Ok(Some(Watch::new(async { panic!("told to panic") })));
        }
        self.call(Method::Watch, key, None, self.inner.watch(principal, key)).await
    }

    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        self.inner.now().await
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        self.inner.sweep(limit).await
    }
}

/// A service on a store that fails as it is told, and the store; a lease lasts 30 seconds.
pub fn failing() -> (App, Arc<FailingStore>) {
    let store = Arc::new(FailingStore::default());
    (App::over(Idempotency::new(Arc::clone(&store)).lease(Duration::from_secs(30))), store)
}
