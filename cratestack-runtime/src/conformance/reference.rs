//! What a store's row becomes and what the caller is told, as one pure function: [`step`].
//!
//! Two things are held against it: every store, by the random histories of the conformance suite; and the protocol of a
//! whole fleet, by a model checker that lets its database answer with it. A rule that is wrong here is wrong in both.
//!
//! Time is whatever has an order: moments, ticks that are left, or no more than "not yet" and "over". A statement
//! judges and writes by the moment of its write, which is the `now` of [`step`]; ends are absolute, and an end that is
//! `now` has passed.

/// A row of the table: the ends `T` of its lease and retention, the hash `H` of its request, the token `K` of its
/// reservation, and its outcome `O`.
///
/// ```
/// use cratestack_runtime::testing::reference::Row;
///
/// let row: Row<u64, char, u32, &str> =
///     Row { token: 1, hash: 'A', attempt: 1, lease_ends: 30, expires: 86_400, outcome: None };
/// assert!(row.is_leased(29) && !row.is_leased(30) && !row.has_expired(30));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row<T, H, K, O> {
    /// Whose reservation it is.
    pub token: K,
    /// Which request it belongs to, until it expires.
    pub hash: H,
    /// 1 for a fresh key, one more for each takeover of a dead reservation.
    pub attempt: u32,
    /// When the reservation is dead unless it is renewed. Means nothing once there is an outcome.
    pub lease_ends: T,
    /// When the row is anybody's.
    pub expires: T,
    /// What the run came to.
    pub outcome: Option<O>,
}

/// What is asked of a row.
///
/// ```
/// use cratestack_runtime::testing::reference::Call;
///
/// let call: Call<u64, char, u32, &str> = Call::Finish { token: 1, outcome: "paid" };
/// assert_ne!(call, Call::Release { token: 1 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call<T, H, K, O> {
    /// A reservation. A lease that is longer than the retention ends with it.
    Reserve {
        /// What the request looks like.
        hash: H,
        /// What the reservation will be known by, if there will be one. It was never used before.
        token: K,
        /// The end of its lease.
        lease_ends: T,
        /// The end of its retention.
        expires: T,
    },
    /// A sign of life.
    Renew {
        /// Whose.
        token: K,
        /// The end of the new lease.
        lease_ends: T,
        /// The row is kept at least until then.
        expires: T,
    },
    /// The outcome of a run, to be frozen.
    Finish {
        /// Of which reservation.
        token: K,
        /// What it came to.
        outcome: O,
    },
    /// The key is given back: nothing happened. Where an earlier attempt went silent, its effect may have: the row then
    /// stays, dead, for the same request.
    Release {
        /// By which reservation.
        token: K,
    },
    /// What has expired goes.
    Sweep,
    /// A transaction that has begun looks whether its key is free.
    Look {
        /// What its request looks like.
        hash: H,
    },
    /// A transaction that is about to commit writes its outcome down.
    Record {
        /// What its request looks like.
        hash: H,
        /// Its token.
        token: K,
        /// What it was told by [`Answer::Free`].
        attempt: u32,
        /// What it came to.
        outcome: O,
        /// The end of its retention.
        expires: T,
    },
}

/// What the caller is told.
///
/// ```
/// use cratestack_runtime::testing::reference::Answer;
///
/// assert_ne!(Answer::Replay("paid"), Answer::InFlight);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer<O> {
    /// The key is the caller's, by the token that it brought.
    Reserved {
        /// How many reservations the key has needed.
        attempt: u32,
    },
    /// Nothing is in the way of the transaction. The row has not changed.
    Free {
        /// How many reservations the key will have needed.
        attempt: u32,
    },
    /// The request has finished, with this outcome.
    Replay(O),
    /// The request is running.
    InFlight,
    /// The key belongs to another request.
    Conflict,
    /// The reservation is the caller's. After a renewal: and its lease lasts, if the end that was asked for lies ahead.
    Held,
    /// The reservation is over. Nothing was written.
    Lost,
    /// Somebody has the key. The transaction must undo everything.
    Taken,
    /// Nothing: a release and a sweep have no answer.
    Done,
}

impl<T: Ord + Copy, H: PartialEq, K, O> Row<T, H, K, O> {
    /// Whether its reservation is alive.
    ///
    /// ```
    /// # use cratestack_runtime::testing::reference::Row;
    /// # let row: Row<u64, char, u32, &str> =
    /// #     Row { token: 1, hash: 'A', attempt: 1, lease_ends: 30, expires: 90, outcome: None };
    /// assert!(row.is_leased(0));
    /// assert!(!Row { outcome: Some("paid"), ..row }.is_leased(0));
    /// ```
    pub fn is_leased(&self, now: T) -> bool {
        self.outcome.is_none() && self.lease_ends > now
    }

    /// Whether it is anybody's, and may be gone at any time.
    ///
    /// ```
    /// # use cratestack_runtime::testing::reference::Row;
    /// # let row: Row<u64, char, u32, &str> =
    /// #     Row { token: 1, hash: 'A', attempt: 1, lease_ends: 30, expires: 90, outcome: None };
    /// assert!(row.has_expired(90));
    /// ```
    pub fn has_expired(&self, now: T) -> bool {
        self.expires <= now
    }
}

impl<T: Ord + Copy, H: PartialEq, K, O: Clone> Row<T, H, K, O> {
    /// What it means to a request for its key: an attempt that it may make, or what it is told instead.
    ///
    /// Until it expires the row belongs to its request, alive, dead or finished: the effect of a dead reservation may
    /// have happened, so only the same request may try it again.
    fn meets(&self, hash: &H, now: T) -> Result<u32, Answer<O>> {
        if self.has_expired(now) {
            return Ok(1);
        }
        if self.hash != *hash {
            return Err(Answer::Conflict);
        }
        match &self.outcome {
            Some(outcome) => Err(Answer::Replay(outcome.clone())),
            None if self.is_leased(now) => Err(Answer::InFlight),
            None => Ok(self.attempt.saturating_add(1)),
        }
    }
}

/// What becomes of a key's row, and what the caller is told.
///
/// ```
/// use cratestack_runtime::testing::reference::{Answer, Call, step};
///
/// let reserve = |hash, token, now: u64| Call::Reserve { hash, token, lease_ends: now + 30, expires: now + 90 };
/// let (row, told) = step(None, reserve('A', 1, 0), 0);
/// assert_eq!(told, Answer::Reserved { attempt: 1 });
/// assert_eq!(step(row, reserve('A', 2, 29), 29), (row, Answer::InFlight));
///
/// // Its holder is silent past its lease: the same request may take it over, another one may not.
/// assert_eq!(step(row, reserve('B', 2, 30), 30), (row, Answer::Conflict));
/// let (row, told) = step(row, reserve('A', 2, 30), 30);
/// assert_eq!(told, Answer::Reserved { attempt: 2 });
///
/// // A stale holder writes nothing, and an outcome is frozen.
/// assert_eq!(step(row, Call::Finish { token: 1, outcome: "late" }, 31), (row, Answer::Lost));
/// let (row, told) = step(row, Call::Finish { token: 2, outcome: "paid" }, 32);
/// assert_eq!(told, Answer::Held);
/// assert_eq!(step(row, Call::Release { token: 2 }, 33), (row, Answer::Done));
/// assert_eq!(step(row, reserve('A', 3, 119), 119), (row, Answer::Replay("paid")));
///
/// // Past its retention it is anybody's.
/// assert_eq!(step(row, reserve('B', 3, 120), 120).1, Answer::Reserved { attempt: 1 });
/// ```
#[allow(clippy::type_complexity)]
pub fn step<T, H, K, O>(
    row: Option<Row<T, H, K, O>>,
    call: Call<T, H, K, O>,
    now: T,
) -> (Option<Row<T, H, K, O>>, Answer<O>)
where
    T: Ord + Copy,
    H: PartialEq,
    K: PartialEq,
    O: Clone,
{
    let meets = |hash: &H| row.as_ref().map_or(Ok(1), |row| row.meets(hash, now));
    match call {
        Call::Reserve { hash, token, lease_ends, expires } => match meets(&hash) {
            Ok(attempt) => {
                let lease_ends = lease_ends.min(expires);
                let reserved = Row { token, hash, attempt, lease_ends, expires, outcome: None };
                (Some(reserved), Answer::Reserved { attempt })
            }
            Err(told) => (row, told),
        },
        Call::Renew { token, lease_ends, expires } => match row {
            Some(row) if row.token == token && row.outcome.is_none() => {
                let expires = row.expires.max(expires);
                (Some(Row { lease_ends: lease_ends.min(expires), expires, ..row }), Answer::Held)
            }
            row => (row, Answer::Lost),
        },
        Call::Finish { token, outcome } => match row {
            Some(row) if row.token == token => {
                (Some(Row { outcome: Some(row.outcome.unwrap_or(outcome)), ..row }), Answer::Held)
            }
            row => (row, Answer::Lost),
        },
        Call::Release { token } => match row {
            Some(row) if row.token == token && row.outcome.is_none() => {
                // What an attempt before this one did is not undone by this one's word.
                let stays = (row.attempt > 1).then_some(Row { lease_ends: now, ..row });
                (stays, Answer::Done)
            }
            row => (row, Answer::Done),
        },
        Call::Sweep => (row.filter(|row| !row.has_expired(now)), Answer::Done),
        Call::Look { hash } => {
            let told = meets(&hash).map_or_else(|told| told, |attempt| Answer::Free { attempt });
            (row, told)
        }
        Call::Record { hash, token, attempt, outcome, expires } => match meets(&hash) {
            Ok(_) => {
                let recorded = Row { token, hash, attempt, lease_ends: now, expires, outcome: Some(outcome) };
                (Some(recorded), Answer::Held)
            }
            Err(_) => (row, Answer::Taken),
        },
    }
}
