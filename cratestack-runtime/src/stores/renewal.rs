//! Is a lease that a statement has renewed still running when its answer is there?
//!
//! ```text
//! process  │ sends the renewal ───────────────┐                         ┌─ may say `Held`: less than a lease since it sent
//! database │              waits for a lock ───┴─ writes "now + lease" ──┴─ waits for the commit, answers
//! ```
//!
//! The lease is counted from the write, which is no earlier than the statement was sent. How long after the write the
//! answer is there, the database does not tell: a commit may wait for a standby, or for readers of the file. So the
//! process measures from when it sent.

use std::time::Duration;

use super::time::Tick;
use crate::store::{LeaseState, StoreError};

/// What a statement that renews a lease has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    Held,
    /// The row was renewed, but the lease may have ended before the answer was there.
    Late,
    Lost,
}

impl Renewal {
    /// Of a lease that lasts for so many ticks from its write on, where the answer came so long after the renewal was
    /// sent.
    pub(crate) fn of(tick: Tick, lasts: i64, elapsed: Duration) -> Self {
        if tick.outlast(lasts, elapsed) { Self::Held } else { Self::Late }
    }
}

/// How often a renewal is made that is late each time.
const MAX_RENEW_ATTEMPTS: u32 = 3;

/// Renews until the answer is there while the lease still lies ahead.
pub(crate) async fn renew_in_time<F>(lease: Duration, renew: impl Fn() -> F) -> Result<LeaseState, StoreError>
where
    F: Future<Output = Result<Renewal, StoreError>>,
{
    for _ in 0..MAX_RENEW_ATTEMPTS {
        match renew().await? {
            Renewal::Held => return Ok(LeaseState::Held),
            Renewal::Lost => return Ok(LeaseState::Lost),
            Renewal::Late => {}
        }
    }
    Err(StoreError::Unavailable(format!(
        "each of {MAX_RENEW_ATTEMPTS} renewals took longer than the lease that it was for ({lease:?}, or until the row expires, \
         where that is earlier): give a longer `lease`, or see what the database waits for (a lock on the table, a \
         synchronous standby)"
    )))
}
