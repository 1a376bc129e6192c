use uuid::Uuid;

use super::record::IdempotencyRecord;

/// What [`IdempotencyStore::reserve_or_fetch`](crate::IdempotencyStore::reserve_or_fetch) found.
///
/// ```
/// use cratestack_runtime::ReservationOutcome;
///
/// fn may_run(outcome: &ReservationOutcome) -> bool {
///     matches!(outcome, ReservationOutcome::Reserved { .. })
/// }
/// assert!(!may_run(&ReservationOutcome::InFlight));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReservationOutcome {
    /// The key is the caller's: run the handler, then `complete` or `release` with this token.
    Reserved {
        /// Proof of this reservation; a takeover replaces it, which makes a late `complete` or `release` a no-op.
        token: Uuid,
    },
    /// The same request has finished: answer with this.
    Replay(IdempotencyRecord),
    /// The same request is running.
    InFlight,
    /// The key belongs to another request, finished or not.
    Conflict,
}

/// What [`IdempotencyStore::reserve`](crate::IdempotencyStore::reserve) found: a [`ReservationOutcome`] that counts
/// attempts.
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
    /// Another reservation has taken the key over, or the key is gone, or (for a renewal) finished; the call did
    /// nothing.
    Lost,
    /// The store cannot tell.
    Unknown,
}
