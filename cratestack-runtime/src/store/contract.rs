use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::error::StoreError;
use super::record::{IdempotencyRecord, ReservationOutcome};

/// A place that keeps reservations and recorded outcomes.
///
/// Three methods are required; a store that has only these is safe, but knows no lease: a reservation whose process died
/// stays until `expires_at`. The provided methods let a store keep *lease* (how long a silent holder owns the key) and
/// *retention* (how long an outcome is replayed) apart; a store that can, implements all of them.
///
/// # What a store promises
///
/// - **Atomic reservation.** Of any number of simultaneous callers with one principal, key and hash, exactly one sees
///   `Reserved`.
/// - **Conflict.** Another hash under a live key is `Conflict`, finished or not.
/// - **A dead reservation belongs to its request.** Of a reservation whose lease ended without an outcome, the effect may
///   have happened. Until its row expires it may be taken over by the same request only, and another hash is `Conflict`. A
///   row that expired, reservation or record, is anybody's.
/// - **Takeover rotates the token.** It replaces the row in the same step that reserves, under a new token. From then on the
///   old token writes nothing: `complete` and `release` with it succeed and do nothing.
/// - **Times count from the write.** A call may wait: for a lock, for another writer. A lease that it asks for is counted
///   from when it is written, and [`LeaseState::Held`] is answered of a renewal only while the lease still lies ahead.
/// - **Frozen outcomes.** A completed record never changes until it expires, whatever its status.
/// - **One clock.** `expires_at` is to be read as a duration from now (`expires_at - SystemTime::now()`) and applied to
///   the store's own clock, so that a caller whose clock is wrong neither shortens nor stretches anything.
/// - **Whole strings.** Principals, keys and bodies are compared byte for byte; nothing is trimmed, folded or cut.
///
/// # A whole store
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use std::time::SystemTime;
///
/// use cratestack_runtime::{IdempotencyRecord, IdempotencyStore, ReservationOutcome, StoreError, async_trait};
/// use uuid::Uuid;
///
/// struct Row {
///     token: Uuid,
///     hash: [u8; 32],
///     created_at: SystemTime,
///     expires_at: SystemTime,
///     record: Option<IdempotencyRecord>,
/// }
///
/// #[derive(Default)]
/// struct MapStore(Mutex<HashMap<(String, String), Row>>);
///
/// #[async_trait]
/// impl IdempotencyStore for MapStore {
///     async fn reserve_or_fetch(
///         &self,
///         principal: &str,
///         key: &str,
///         request_hash: [u8; 32],
///         expires_at: SystemTime,
///     ) -> Result<ReservationOutcome, StoreError> {
///         let mut rows = self.0.lock().map_err(|_| StoreError::Internal("poisoned".to_owned()))?;
///         let slot = (principal.to_owned(), key.to_owned());
///         // Without leases a row is its request's until it expires, and then it is anybody's.
///         if let Some(row) = rows.get(&slot).filter(|row| row.expires_at > SystemTime::now()) {
///             return Ok(match &row.record {
///                 _ if row.hash != request_hash => ReservationOutcome::Conflict,
///                 Some(record) => ReservationOutcome::Replay(record.clone()),
///                 None => ReservationOutcome::InFlight,
///             });
///         }
///         let token = Uuid::new_v4();
///         let created_at = SystemTime::now();
///         rows.insert(slot, Row { token, hash: request_hash, created_at, expires_at, record: None });
///         Ok(ReservationOutcome::Reserved { token })
///     }
///
///     async fn complete(
///         &self,
///         principal: &str,
///         key: &str,
///         token: Uuid,
///         status: u16,
///         headers: &[u8],
///         body: &[u8],
///     ) -> Result<(), StoreError> {
///         let mut rows = self.0.lock().map_err(|_| StoreError::Internal("poisoned".to_owned()))?;
///         let slot = (principal.to_owned(), key.to_owned());
///         if let Some(row) = rows.get_mut(&slot).filter(|row| row.token == token && row.record.is_none()) {
///             row.record = Some(IdempotencyRecord {
///                 key: key.to_owned(),
///                 principal_fingerprint: principal.to_owned(),
///                 request_hash: row.hash,
///                 response_status: status,
///                 response_headers: headers.to_vec(),
///                 response_body: body.to_vec(),
///                 created_at: row.created_at,
///                 expires_at: row.expires_at,
///             });
///         }
///         Ok(())
///     }
///
///     async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
///         let mut rows = self.0.lock().map_err(|_| StoreError::Internal("poisoned".to_owned()))?;
///         let slot = (principal.to_owned(), key.to_owned());
///         if rows.get(&slot).is_some_and(|row| row.token == token && row.record.is_none()) {
///             rows.remove(&slot);
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StoreError> {
/// let store = MapStore::default();
/// let tomorrow = SystemTime::now() + std::time::Duration::from_secs(24 * 60 * 60);
/// let ReservationOutcome::Reserved { token } = store.reserve_or_fetch("alice", "k1", [0; 32], tomorrow).await? else {
///     panic!("a fresh key is reserved");
/// };
/// store.complete("alice", "k1", token, 201, &[], b"paid").await?;
/// let again = store.reserve_or_fetch("alice", "k1", [0; 32], tomorrow).await?;
/// assert!(matches!(again, ReservationOutcome::Replay(record) if record.response_body == b"paid"));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Reserves the key, or tells who has it. Atomic; see the promises above.
    ///
    /// A reservation made here lives until `expires_at`, and so does the outcome that completes it.
    ///
    /// # Errors
    ///
    /// When the store cannot tell. The caller must then not run the handler.
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError>;

    /// Freezes the outcome of a reservation, whatever its status. With a token that is not current: does nothing.
    ///
    /// # Errors
    ///
    /// When the outcome may not have been recorded. Calling again with the same arguments is safe.
    async fn complete(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Result<(), StoreError>;

    /// Gives the key back, as if it had never been reserved. With a token that is not current, or once the outcome is
    /// recorded: does nothing.
    ///
    /// A reservation that took over from one that went silent (its attempt is 2 or more) does not speak for that one, whose
    /// effect may have happened. Its row stays until it expires, with a lease that has ended: the same request may have the
    /// key at once, and another one is a conflict.
    ///
    /// # Errors
    ///
    /// When the key may still be reserved. Calling again is safe.
    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError>;

    /// Reserves the key for a lease, or tells who has it: [`reserve_or_fetch`](Self::reserve_or_fetch) with lease and
    /// retention apart.
    ///
    /// The provided body knows no lease and reserves for the whole retention.
    ///
    /// # Errors
    ///
    /// When the store cannot tell. The caller must then not run the handler.
    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        let expires_at = SystemTime::now()
            .checked_add(claim.retention)
            .ok_or_else(|| StoreError::Internal("the retention is too long for a timestamp".to_owned()))?;
        self.reserve_or_fetch(claim.principal, claim.key, claim.request_hash, expires_at).await.map(ClaimOutcome::from)
    }

    /// Starts the lease of a running reservation anew: it ends `lease` from now, and the row is kept at least
    /// `retention` from now. A holder that is late, but whose key nobody has taken over, holds it again; one whose
    /// outcome is recorded has nothing left to renew and gets [`LeaseState::Lost`].
    ///
    /// It never shortens the retention, and extends it to no later than `retention` from now.
    ///
    /// The provided body does nothing and answers [`LeaseState::Unknown`].
    ///
    /// # Errors
    ///
    /// When the lease may not have been renewed, or had ended again when the answer was there. Calling again is safe.
    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        let _ = (principal, key, token, lease, retention);
        Ok(LeaseState::Unknown)
    }

    /// [`complete`](Self::complete), and says whether the token was still current: [`LeaseState::Held`] where the outcome
    /// is now recorded (also by an earlier call with the same token), [`LeaseState::Lost`] where nothing was written
    /// because another reservation took the key over.
    ///
    /// The provided body calls `complete` and answers [`LeaseState::Unknown`].
    ///
    /// # Errors
    ///
    /// When the outcome may not have been recorded. Calling again with the same arguments is safe.
    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        let Completion { principal, key, token, status, headers, body } = completion;
        self.complete(principal, key, token, status, headers, body).await?;
        Ok(LeaseState::Unknown)
    }

    /// Begins to watch a key that is in flight; the caller asks [`reserve`](Self::reserve) once more after that, and then
    /// waits for [`Watch::changed`].
    ///
    /// The provided body cannot watch and answers `None`: the caller then polls, at growing intervals.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached; the caller then polls.
    async fn watch(&self, principal: &str, key: &str) -> Result<Option<Watch>, StoreError> {
        let _ = (principal, key);
        Ok(None)
    }

    /// What the store's clock shows, by which `expires_at` of a record is meant, and which session of the store showed it.
    ///
    /// With it a process can tell how long a record that it has seen will be replayed, and that the store has not lost the
    /// record since; it then need not ask for it again. The provided body answers `None`: then nothing is kept. So does a
    /// store that cannot tell whether it has lost anything, for as long as it cannot.
    ///
    /// A process calls this at most a few times a second, and never without traffic. Dropping the future must be safe.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached; what was kept is then dropped.
    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        Ok(None)
    }

    /// Deletes up to `limit` rows whose retention ended, and says how many. A row of which only the lease ended stays:
    /// it counts the attempts.
    ///
    /// The provided body deletes nothing.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached. Calling again is safe.
    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        let _ = limit;
        Ok(0)
    }
}

/// A look at the clock of a store, and at whether the store is still the one that it was.
///
/// Two samples of equal `session` are a promise: from before the first of them to after the second, the store has lived
/// without interruption, so nothing that it had committed is lost. A crash, a failover, a restored backup: each begins
/// another session. What a session is depends on the store (for `PostgresStore`, one backend of the server); the number
/// itself means nothing.
///
/// ```
/// use std::time::SystemTime;
/// use cratestack_runtime::ClockSample;
///
/// let before = ClockSample { now: SystemTime::now(), session: 7 };
/// let after = ClockSample { now: SystemTime::now(), session: 8 };
/// assert_ne!(before.session, after.session, "between the two, commits may have been lost");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSample {
    /// What the store's clock shows.
    pub now: SystemTime,
    /// Which life of the store this was taken in.
    pub session: u128,
}

/// What a caller asks for in [`IdempotencyStore::reserve`].
///
/// `lease` and `retention` count from when the reservation is written, on the store's clock. A lease longer than the retention ends with it.
///
/// ```
/// use std::time::Duration;
/// use cratestack_runtime::Claim;
///
/// let claim = Claim {
///     principal: "alice",
///     key: "8e03978e",
///     request_hash: [0; 32],
///     lease: Duration::from_secs(30),
///     retention: Duration::from_secs(86_400),
/// };
/// assert!(claim.lease < claim.retention);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The caller that the key belongs to.
    pub principal: &'a str,
    /// The idempotency key.
    pub key: &'a str,
    /// What the request looks like.
    pub request_hash: [u8; 32],
    /// How long the reservation holds without being renewed.
    pub lease: Duration,
    /// How long the row is kept, from the reservation on, and with it the outcome. In a transaction the reservation is when it
    /// begins.
    pub retention: Duration,
}

/// What [`IdempotencyStore::reserve`] found: a [`ReservationOutcome`] that counts attempts.
///
/// ```
/// use cratestack_runtime::{ClaimOutcome, ReservationOutcome};
///
/// assert_eq!(ClaimOutcome::from(ReservationOutcome::InFlight), ClaimOutcome::InFlight);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The key is the caller's: run the handler, then `finish` or `release` with this token.
    Reserved {
        /// Proof of this reservation.
        token: Uuid,
        /// 1 for a fresh key, which one is again when its retention has ended; one more for each time that a dead
        /// reservation of it was taken over.
        attempt: u32,
    },
    /// The same request has finished: answer with this.
    Replay(IdempotencyRecord),
    /// The same request is running.
    InFlight,
    /// The key belongs to another request, finished, running or dead.
    Conflict,
}

impl From<ReservationOutcome> for ClaimOutcome {
    fn from(outcome: ReservationOutcome) -> Self {
        match outcome {
            ReservationOutcome::Reserved { token } => Self::Reserved { token, attempt: 1 },
            ReservationOutcome::Replay(record) => Self::Replay(record),
            ReservationOutcome::InFlight => Self::InFlight,
            ReservationOutcome::Conflict => Self::Conflict,
        }
    }
}

impl From<ClaimOutcome> for ReservationOutcome {
    fn from(outcome: ClaimOutcome) -> Self {
        match outcome {
            ClaimOutcome::Reserved { token, .. } => Self::Reserved { token },
            ClaimOutcome::Replay(record) => Self::Replay(record),
            ClaimOutcome::InFlight => Self::InFlight,
            ClaimOutcome::Conflict => Self::Conflict,
        }
    }
}

/// The outcome that [`IdempotencyStore::finish`] freezes.
///
/// ```
/// use bytes::Bytes;
/// use cratestack_runtime::Completion;
///
/// let body = Bytes::from_static(b"paid");
/// let completion = Completion {
///     principal: "alice",
///     key: "8e03978e",
///     token: uuid::Uuid::nil(),
///     status: 201,
///     headers: &[],
///     body: &body,
/// };
/// assert_eq!(completion.status, 201);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Completion<'a> {
    /// The caller that the key belongs to.
    pub principal: &'a str,
    /// The idempotency key.
    pub key: &'a str,
    /// The token of the reservation.
    pub token: Uuid,
    /// The status of the response.
    pub status: u16,
    /// The headers of the response; see [`encode_headers`](crate::encode_headers).
    pub headers: &'a [u8],
    /// The body of the response.
    pub body: &'a Bytes,
}

/// Whether a reservation was still its holder's when the store looked.
///
/// ```
/// use cratestack_runtime::LeaseState;
///
/// assert_ne!(LeaseState::Held, LeaseState::Lost);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// It was, and the call took effect.
    Held,
    /// Another reservation has taken the key over, or the key is gone, or (for a renewal) finished; the call did nothing.
    Lost,
    /// The store cannot tell.
    Unknown,
}

/// A watch on one key, made by [`IdempotencyStore::watch`]; dropping it ends the watch.
///
/// ```
/// use cratestack_runtime::Watch;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (told, news) = tokio::sync::oneshot::channel::<()>();
/// let mut watch = Watch::new(async move { drop(news.await) });
/// told.send(()).unwrap();
/// watch.changed().await;
/// # }
/// ```
pub struct Watch {
    change: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Watch {
    /// A watch that is told by `change` becoming ready, once.
    pub fn new(change: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { change: Some(Box::pin(change)) }
    }

    /// Waits until the key may have been completed or released. It may also return early, and after the first time it
    /// does not return again: the caller asks the store, and watches anew.
    pub async fn changed(&mut self) {
        match &mut self.change {
            Some(change) => change.as_mut().await,
            None => std::future::pending().await,
        }
        self.change = None;
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

#[async_trait]
impl<S: IdempotencyStore + ?Sized> IdempotencyStore for Arc<S> {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        (**self).reserve_or_fetch(principal, key, request_hash, expires_at).await
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
        (**self).complete(principal, key, token, status, headers, body).await
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        (**self).release(principal, key, token).await
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        (**self).reserve(claim).await
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        (**self).renew(principal, key, token, lease, retention).await
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        (**self).finish(completion).await
    }

    async fn watch(&self, principal: &str, key: &str) -> Result<Option<Watch>, StoreError> {
        (**self).watch(principal, key).await
    }

    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        (**self).now().await
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        (**self).sweep(limit).await
    }
}
