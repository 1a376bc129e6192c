use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use uuid::Uuid;

use super::at_once::AtOnce;
use super::claim::{Claim, Completion};
use super::error::StoreError;
use super::outcome::{ClaimOutcome, LeaseState, ReservationOutcome};
use super::records::{RecordInfo, RecordQuery, Removal, RemovalOutcome, RemovedAll};
use super::steps::{RecordedStep, StepRecord};
use super::watch::{ClockSample, Watch};

/// A place that keeps reservations and recorded outcomes.
///
/// Three methods are required; a store that has only these is safe, but knows no lease: a reservation whose process
/// died stays until `expires_at`. The provided methods let a store keep *lease* (how long a silent holder owns the key)
/// and *retention* (how long an outcome is replayed) apart; a store that can, implements all of them.
///
/// # What a store promises
///
/// - **Atomic reservation.** Of any number of simultaneous callers with one principal, key and hash, exactly one sees
///   `Reserved`.
/// - **Conflict.** Another hash under a live key is `Conflict`, finished or not.
/// - **A dead reservation belongs to its request.** Of a reservation whose lease ended without an outcome, the effect
///   may have happened. Until its row expires it may be taken over by the same request only, and another hash is
///   `Conflict`. A row that expired, reservation or record, is anybody's.
/// - **Takeover rotates the token.** It replaces the row in the same step that reserves, under a new token. From then
///   on the old token writes nothing: `complete` and `release` with it succeed and do nothing.
/// - **Times count from the write.** A call may wait: for a lock, for another writer. A lease that it asks for is
///   counted from when it is written, and [`LeaseState::Held`] is answered of a renewal only while the lease still lies
///   ahead.
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
    /// A reservation that took over from one that went silent (its attempt is 2 or more) does not speak for that one,
    /// whose effect may have happened. Its row stays until it expires, with a lease that has ended: the same request
    /// may have the key at once, and another one is a conflict.
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

    /// Whether the store keeps the steps of runs. One that says so implements the next two methods.
    ///
    /// The provided body says that it does not: a step is then refused before it is begun.
    fn keeps_steps(&self) -> bool {
        false
    }

    /// Records a step of a run: [`LeaseState::Held`] where it is now recorded, also by an earlier call,
    /// [`LeaseState::Lost`] where nothing was written, because the token is not the current one or its outcome is
    /// recorded.
    ///
    /// The row is locked, and its token looked at after any wait for that: of two runs of one key, the one that has it
    /// records. Steps are kept until the outcome is recorded or the row expires. Whoever takes a dead reservation over
    /// takes its steps along. A reservation that has steps is released as one that took over: its row stays, for the
    /// same request alone.
    ///
    /// The provided body answers that the store keeps no steps.
    ///
    /// # Errors
    ///
    /// When the step may not have been recorded; calling again with the same arguments is safe. Or when the store keeps
    /// no steps: [`StoreError::Unsupported`].
    async fn record_step(&self, step: StepRecord<'_>) -> Result<LeaseState, StoreError> {
        let _ = step;
        Err(StoreError::Unsupported("keep steps"))
    }

    /// The steps that a run finds, in the order in which they were recorded: those of the runs that it took over from,
    /// and its own. None where the token is not the current one, or its outcome is recorded.
    ///
    /// The provided body answers that the store keeps no steps.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached, or keeps no steps: [`StoreError::Unsupported`].
    async fn steps(&self, principal: &str, key: &str, token: Uuid) -> Result<Vec<RecordedStep>, StoreError> {
        let _ = (principal, key, token);
        Err(StoreError::Unsupported("keep steps"))
    }

    /// Begins to watch a key that is in flight; the caller asks [`reserve`](Self::reserve) once more after that, and
    /// then waits for [`Watch::changed`].
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

    /// What the store's clock shows, by which `expires_at` of a record is meant, and which session of the store showed
    /// it.
    ///
    /// With it a process can tell how long a record that it has seen will be replayed, and that the store has not lost
    /// the record since; it then need not ask for it again. The provided body answers `None`: then nothing is kept. So
    /// does a store that cannot tell whether it has lost anything, for as long as it cannot.
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

    /// Shows a record to an operator, whatever its state; `None` where there is none.
    ///
    /// The provided bodies of this and the next three methods answer that the store cannot.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached, or cannot do this at all: [`StoreError::Unsupported`].
    async fn show(&self, principal: &str, key: &str) -> Result<Option<RecordInfo>, StoreError> {
        let _ = (principal, key);
        Err(StoreError::Unsupported("show a record"))
    }

    /// Lists records, the ones that were reserved first, first.
    ///
    /// # Errors
    ///
    /// As those of [`show`](Self::show).
    async fn list(&self, query: &RecordQuery) -> Result<Vec<RecordInfo>, StoreError> {
        let _ = query;
        Err(StoreError::Unsupported("list records"))
    }

    /// Removes a record, if its state allows it: looked at and removed in one step. A token that it bore writes nothing
    /// from then on.
    ///
    /// Where a store shows a session ([`now`](Self::now)), the removal of an outcome ends it, so that no process
    /// replays the outcome from memory.
    ///
    /// # Errors
    ///
    /// As those of [`show`](Self::show). The record may have been removed; calling again is safe.
    async fn remove(&self, principal: &str, key: &str, removal: Removal) -> Result<RemovalOutcome, StoreError> {
        let _ = (principal, key, removal);
        Err(StoreError::Unsupported("remove a record"))
    }

    /// Removes at most `limit` records of one principal, as [`remove`](Self::remove) does each of them. Where that many
    /// are removed there may be more, and how many are running is not counted.
    ///
    /// # Errors
    ///
    /// As those of [`remove`](Self::remove).
    async fn remove_all_of(&self, principal: &str, removal: Removal, limit: u32) -> Result<RemovedAll, StoreError> {
        let _ = (principal, removal, limit);
        Err(StoreError::Unsupported("remove the records of a principal"))
    }

    /// The store, where it need not wait.
    #[doc(hidden)]
    fn at_once(&self) -> Option<&dyn AtOnce> {
        None
    }
}
