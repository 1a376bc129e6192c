use std::time::Duration;

use http::StatusCode;
use sha2::{Digest, Sha256};

use crate::engine::{Hold, Transition};
use crate::store::RecordIdRef;
use crate::util::hex_digits;

/// What is told of each event.
pub(super) type Hook = dyn Fn(&Event<'_>) + Send + Sync;

/// What happened to one guarded request, as [`Idempotency::on_event`](crate::Idempotency::on_event) is told it.
///
/// Never a key, a principal, a header or a body in clear: `key` and `principal` are the first 16 hexadecimal digits of
/// their SHA-256, enough to find the same one again.
///
/// ```
/// use cratestack_runtime::{Idempotency, MemoryStore, EventKind};
///
/// let idempotency = Idempotency::new(MemoryStore::new()).on_event(|event| {
///     // For example a counter with `event.kind.as_str()` as its label.
///     if let EventKind::Replayed { .. } = event.kind {
///         println!("replayed {} after {:?}", event.key, event.age);
///     }
/// });
/// # let _ = idempotency;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event<'a> {
    /// What happened.
    pub kind: EventKind,
    /// The key, hashed.
    pub key: &'a str,
    /// The caller, hashed.
    pub principal: &'a str,
    /// Which attempt at the request this was; 0 where none was made.
    pub attempt: u32,
    /// How long ago the replayed request was reserved, by this process's clock.
    pub age: Option<Duration>,
}

/// What happened to a guarded request.
///
/// ```
/// use cratestack_runtime::EventKind;
///
/// assert_eq!(EventKind::InFlight.as_str(), "in_flight");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The key was free and is reserved; the handler runs.
    Reserved,
    /// The outcome is recorded.
    Recorded {
        /// The recorded status.
        status: StatusCode,
    },
    /// The key was given back: the response was not to be recorded, or the handler panicked.
    Released,
    /// A recorded outcome was answered.
    Replayed {
        /// The recorded status.
        status: StatusCode,
    },
    /// Answered 409: the same request is running.
    InFlight,
    /// Answered 422: the key belongs to another request.
    Conflict,
    /// The handler ran past its lease and another run took its key over.
    Lost,
    /// The handler panicked.
    Panicked,
    /// The handler's transaction was undone, and its key is free: it did not end in time, could not be committed, or
    /// was in another one's way.
    RolledBack,
    /// The store could not reserve.
    Unavailable,
    /// Answered 503: so much is under way that nothing more may begin.
    Overloaded,
    /// The database was lost during a commit, and it is not known whether that happened; a retry is told.
    Unknown,
    /// The record is damaged.
    Damaged,
}

impl EventKind {
    /// A stable name in `snake_case`, for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Recorded { .. } => "recorded",
            Self::Released => "released",
            Self::Replayed { .. } => "replayed",
            Self::InFlight => "in_flight",
            Self::Conflict => "conflict",
            Self::Lost => "lost",
            Self::Panicked => "panicked",
            Self::RolledBack => "rolled_back",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Unknown => "unknown",
            Self::Damaged => "damaged",
        }
    }
}

impl From<Transition> for EventKind {
    fn from(transition: Transition) -> Self {
        match transition {
            Transition::Reserved => Self::Reserved,
            // Recorded statuses are those of responses, so each is one.
            Transition::Recorded { code } => Self::Recorded { status: StatusCode::from_u16(code).unwrap_or_default() },
            Transition::Released => Self::Released,
            Transition::Lost => Self::Lost,
            Transition::Panicked => Self::Panicked,
            Transition::RolledBack => Self::RolledBack,
        }
    }
}

/// What there is to tell of a record, before anybody is known to listen: an [`Event`] is made of it where somebody
/// does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Happening<'a> {
    pub(crate) kind: EventKind,
    pub(crate) id: RecordIdRef<'a>,
    pub(crate) attempt: u32,
    pub(crate) age: Option<Duration>,
}

impl<'a> Happening<'a> {
    /// Where no attempt was made.
    pub(crate) fn of(id: RecordIdRef<'a>, kind: EventKind) -> Self {
        Self { kind, id, attempt: 0, age: None }
    }

    /// Hands it on as an event.
    pub(super) fn tell(&self, hook: &Hook) {
        let Self { kind, id, attempt, age } = *self;
        let (key, principal) = (ShortHash::of(id.key), ShortHash::of(id.principal));
        hook(&Event { kind, key: key.as_str(), principal: principal.as_str(), attempt, age });
    }

    /// Writes it to the log. The names of its fields are stable. Those that take time are made within the macros, which
    /// look first whether anybody reads them.
    pub(super) fn log(&self) {
        let Self { kind, id, attempt, age } = *self;
        let outcome = kind.as_str();
        match kind {
            EventKind::Lost => tracing::error!(
                outcome,
                key = ShortHash::of(id.key).as_str(),
                principal = ShortHash::of(id.principal).as_str(),
                attempt,
                "idempotent handler ran past its lease and its key was taken over, so that the request has run twice; or an \
                 operator has given its key back"
            ),
            EventKind::Panicked => tracing::error!(
                outcome,
                key = ShortHash::of(id.key).as_str(),
                principal = ShortHash::of(id.principal).as_str(),
                attempt,
                "idempotent handler panicked; its key is free again"
            ),
            EventKind::Damaged => tracing::error!(
                outcome,
                key = ShortHash::of(id.key).as_str(),
                principal = ShortHash::of(id.principal).as_str(),
                "damaged idempotency record: it is neither replayed nor run again until it expires or is forgotten by an operator"
            ),
            EventKind::Reserved if attempt > 1 => tracing::warn!(
                outcome,
                key = ShortHash::of(id.key).as_str(),
                principal = ShortHash::of(id.principal).as_str(),
                attempt,
                "idempotency key taken over from a run that went silent: what that run did may happen again"
            ),
            _ => {
                let status = match kind {
                    EventKind::Recorded { status } | EventKind::Replayed { status } => Some(status.as_u16()),
                    _ => None,
                };
                let age_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
                tracing::debug!(
                    outcome,
                    key = ShortHash::of(id.key).as_str(),
                    principal = ShortHash::of(id.principal).as_str(),
                    attempt,
                    age_ms,
                    status,
                    "idempotency"
                );
            }
        }
    }
}

/// What a handler's own log lines are found by.
pub(super) fn span(hold: &Hold) -> tracing::Span {
    // The macro makes its fields also where nobody listens, if a crate has switched tracing's `log` on.
    if tracing::level_filters::LevelFilter::current() < tracing::Level::INFO {
        return tracing::Span::none();
    }
    let id = &hold.claim.id;
    tracing::info_span!(
        "idempotent",
        key = ShortHash::of(id.key()).as_str(),
        principal = ShortHash::of(id.principal()).as_str(),
        attempt = hold.attempt
    )
}

/// The first sixteen hexadecimal digits of a text's SHA-256, held without an allocation. A log may show as much of a
/// key and its principal: enough to find the same one again, not enough to use it.
#[derive(Debug, Clone, Copy)]
struct ShortHash([u8; 16]);

impl ShortHash {
    fn of(text: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let mut short = [0; 16];
        for (digits, byte) in short.chunks_exact_mut(2).zip(digest) {
            digits.copy_from_slice(&hex_digits(byte));
        }
        Self(short)
    }

    fn as_str(&self) -> &str {
        // Hexadecimal digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hashlib`.
    #[test]
    fn short_hashes_are_pinned() {
        assert_eq!(ShortHash::of("8e03978e-40d5-43dd-bc93-6894a57f9324").as_str(), "d77da8028f3c5a13");
    }
}
