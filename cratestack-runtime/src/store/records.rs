use std::time::{Duration, SystemTime};

/// What a store tells an operator of one record: everything but what the response held.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use cratestack_runtime::records::{RecordInfo, RecordState};
///
/// let reserved = SystemTime::UNIX_EPOCH;
/// let mut info = RecordInfo::new("alice", "8e03978e", [7; 32], RecordState::InFlight, reserved);
/// info.lease_ends_at = Some(reserved + Duration::from_secs(30));
/// assert_eq!(info.status, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordInfo {
    /// The caller that the key belongs to, as the store has it: with its namespace.
    pub principal: String,
    /// The idempotency key.
    pub key: String,
    /// What the request looked like; `None` where the row is damaged.
    pub request_hash: Option<[u8; 32]>,
    /// Where the record was in its life when the store looked.
    pub state: RecordState,
    /// The recorded status; `None` while there is no outcome.
    pub status: Option<u16>,
    /// Which attempt at the request this is, or was.
    pub attempt: u32,
    /// When the key was reserved, by the store's clock, as are all of these times.
    pub created_at: SystemTime,
    /// When the lease ends, or ended; `None` where there is an outcome.
    pub lease_ends_at: Option<SystemTime>,
    /// When the record expires, or did.
    pub expires_at: SystemTime,
    /// How many bytes the recorded headers take, as they are encoded.
    pub headers_bytes: u64,
    /// How many bytes the recorded body has.
    pub body_bytes: u64,
    /// How many bytes the steps take that its run has recorded, or has taken over; 0 where there are none. What they
    /// have done is done, whatever becomes of the record.
    pub steps_bytes: u64,
    /// What the store's clock showed when it looked.
    pub now: SystemTime,
}

impl RecordInfo {
    /// A first attempt without an outcome, seen and expiring when it was reserved; for a store of your own to fill in.
    pub fn new(
        principal: impl Into<String>,
        key: impl Into<String>,
        request_hash: [u8; 32],
        state: RecordState,
        created_at: SystemTime,
    ) -> Self {
        Self {
            principal: principal.into(),
            key: key.into(),
            request_hash: Some(request_hash),
            state,
            status: None,
            attempt: 1,
            created_at,
            lease_ends_at: None,
            expires_at: created_at,
            headers_bytes: 0,
            body_bytes: 0,
            steps_bytes: 0,
            now: created_at,
        }
    }
}

/// Where a record is in its life.
///
/// ```
/// use cratestack_runtime::records::RecordState;
///
/// assert_eq!(RecordState::PastLease.as_str(), "past_lease");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordState {
    /// Reserved, within its lease: its request is running.
    InFlight,
    /// Reserved, and its lease has ended without an outcome: its process is gone or silent, and its effect may have
    /// happened.
    PastLease,
    /// It holds an outcome, which is replayed.
    Finished,
    /// Its retention has ended: it counts for nobody, and a sweep deletes it.
    Expired,
}

impl RecordState {
    /// A stable name in `snake_case`, the same that `cratestack-schema` prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::PastLease => "past_lease",
            Self::Finished => "finished",
            Self::Expired => "expired",
        }
    }
}

/// Which records [`IdempotencyStore::list`](crate::IdempotencyStore::list) is asked for.
///
/// ```
/// use std::time::Duration;
/// use cratestack_runtime::records::{RecordQuery, RecordState};
///
/// // What its process has left for a minute or longer.
/// let query = RecordQuery::new(100).states([RecordState::PastLease]).lasting(Duration::from_secs(60));
/// assert_eq!(query.limit, 100);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordQuery {
    /// In one of these states; empty for any.
    pub states: Vec<RecordState>,
    /// In that state for at least this long: in flight and finished since the key was reserved, past the lease since
    /// that ended, expired since the retention ended.
    pub lasting: Duration,
    /// In this namespace.
    pub within: Within,
    /// At most so many, the ones that were reserved first.
    pub limit: u32,
}

impl RecordQuery {
    /// The `limit` oldest records that are in flight or past their lease.
    pub fn new(limit: u32) -> Self {
        let states = vec![RecordState::InFlight, RecordState::PastLease];
        Self { states, lasting: Duration::ZERO, within: Within::Everything, limit }
    }

    /// Records in one of these states; none for any.
    #[must_use]
    pub fn states(mut self, states: impl IntoIterator<Item = RecordState>) -> Self {
        self.states = states.into_iter().collect();
        self
    }

    /// Records that have been in their state for at least this long.
    #[must_use]
    pub fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }
}

/// Which namespace is meant. In a row's principal it stands before the first `→`, unless that is its first character.
///
/// ```
/// use cratestack_runtime::records::Within;
///
/// let orders = Within::Namespace("orders".to_owned());
/// assert!(orders.contains("orders→alice") && !orders.contains("alice"));
/// assert!(!Within::NoNamespace.contains("orders→alice"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Within {
    /// All of them, and what is in none.
    Everything,
    /// What is in none.
    NoNamespace,
    /// This one.
    Namespace(String),
}

impl Within {
    /// Whether a row with this principal is in it.
    pub fn contains(&self, principal: &str) -> bool {
        let namespace = principal.split_once('\u{2192}').map(|(before, _)| before).filter(|name| !name.is_empty());
        match self {
            Self::Everything => true,
            Self::NoNamespace => namespace.is_none(),
            Self::Namespace(name) => namespace == Some(name),
        }
    }
}

/// What [`IdempotencyStore::remove`](crate::IdempotencyStore::remove) may remove.
///
/// ```
/// use cratestack_runtime::records::{IfRunning, RecordState, Removal};
///
/// let release = Removal::release(IfRunning::Refuse);
/// assert!(release.may(RecordState::PastLease) && !release.may(RecordState::InFlight));
/// assert!(!release.may(RecordState::Finished));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    unfinished_only: bool,
    if_running: IfRunning,
}

/// What becomes of a reservation whose lease lasts.
///
/// ```
/// assert_eq!(cratestack_runtime::records::IfRunning::default(), cratestack_runtime::records::IfRunning::Refuse);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfRunning {
    /// It stays.
    #[default]
    Refuse,
    /// It is removed, although its run goes on and may have its effect: a retry runs beside it. Its outcome is recorded
    /// nowhere.
    Remove,
}

impl Removal {
    /// Reservations, none that has expired, and no outcome.
    pub fn release(if_running: IfRunning) -> Self {
        Self { unfinished_only: true, if_running }
    }

    /// Any record.
    pub fn forget(if_running: IfRunning) -> Self {
        Self { unfinished_only: false, if_running }
    }

    /// Whether it may remove a record in this state.
    pub fn may(self, state: RecordState) -> bool {
        match state {
            RecordState::InFlight => self.if_running == IfRunning::Remove,
            RecordState::PastLease => true,
            RecordState::Finished | RecordState::Expired => !self.unfinished_only,
        }
    }
}

/// What became of a record that was to be removed.
///
/// ```
/// use cratestack_runtime::records::{RecordState, RemovalOutcome};
///
/// assert_ne!(RemovalOutcome::Removed(RecordState::PastLease), RemovalOutcome::Refused(RecordState::PastLease));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalOutcome {
    /// It is gone; this is what it was.
    Removed(RecordState),
    /// It stays, as this is what it is.
    Refused(RecordState),
    /// There is none.
    Absent,
}

/// What became of the records of a principal.
///
/// ```
/// assert_eq!(cratestack_runtime::records::RemovedAll::default().removed, 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemovedAll {
    /// How many are gone.
    pub removed: u64,
    /// How many stay, as their requests are running.
    pub running: u64,
}
