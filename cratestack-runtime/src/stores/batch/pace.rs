//! How many statements may be on their way at once: as many as it takes to keep the server at work, and no more.
//!
//! A call that waits for a slot gains what the server saves by a longer batch. Where the server is near, that is all
//! there is to gain, and one slot makes the longest batches. Where it is far, a statement is most of its time on the
//! wire, and the server has nothing to do:
//!
//! ```text
//! near, 1 slot   │ A ▒▒▒▒│B, C, D ▒▒▒▒▒▒│E, F ▒▒▒▒▒│            ▒ the server works
//! far, 1 slot    │ A ──────────▒▒──────────│B, C, D ──────────▒▒▒──────────│E, F …       ─ on the wire
//! far, 6 slots   │ A ──────────▒▒──────────│
//!                │ B ──────────▒▒──────────│          (each goes when it comes,
//!                │  C ──────────▒▒──────────│          and the server does one after the other)
//! a crowd        │ A, D, E, … ──────────▒▒▒▒▒▒▒──────────│
//!                │ B, F, G, …    ──────────▒▒▒▒▒▒▒──────────│   (longer batches: more of the time is the server's,
//!                │ C, H, I, …       ──────────▒▒▒▒▒▒▒──────────│  so fewer slots fill it)
//! ```
//!
//! What is known of a statement is how long it takes as a whole. The shortest of late, less what a server needs for a
//! statement in any case ([`Operation::SERVER_TIME`]), is the wire; what statements take beyond the wire, on average,
//! is the server with whatever waits in it, or for a connection to it. The ratio of the whole to that part is how many
//! statements fill the server, one after the other. It has twice as many slots, less one: so that it has the next one
//! at hand, and as it works on several at a time. A server that has too much to do takes longer, and so has fewer.
//!
//! Where calls are few, there is no batch to wait for: two or three statements side by side, on several processors and
//! with one flush, are done before one for the first call and one for the others. So up to [`FEW`] calls at once have a
//! slot each, wherever the server is, as far as the operation may have so many. How many there are at once is the most
//! of late: those who were answered by one batch come back one by one, and the first of them are not few.
//!
//! A disk that takes long to flush, or a standby that is waited for, counts as wire. That is as well: the server has
//! nothing to do meanwhile either, and commits that wait at the same time share a flush.
//!
//! [`Operation::SERVER_TIME`]: super::operation::Operation::SERVER_TIME

use std::time::Duration;

use tokio::time::Instant;

/// For how long the shortest statement counts, and at most for twice as long: the way to a server changes where it
/// fails over.
const WINDOW: Duration = Duration::from_secs(10);

/// The weight of a statement in the average. So few are enough, as a slot too many or too few costs little.
const WEIGHT: f64 = 1.0 / 16.0;

/// So many calls at once, or fewer, have a slot each.
const FEW: usize = 4;

/// The weight of a call that finds fewer at once than others did of late.
const FEWER_WEIGHT: f64 = 1.0 / 64.0;

/// How long the statements of an operation take, and how many calls come at once.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many calls there are at once, those whose statements are on their way among them: the most of late.
    at_once: f64,
    server_time: f64,
    average: f64,
    shortest: f64,
    shortest_before: f64,
    window_began: Option<Instant>,
}

impl Pace {
    pub(super) fn new(server_time: Duration) -> Self {
        let server_time = server_time.as_secs_f64();
        Self {
            at_once: 0.0,
            server_time,
            average: server_time,
            shortest: f64::INFINITY,
            shortest_before: f64::INFINITY,
            window_began: None,
        }
    }

    /// A call comes, and with it there are so many.
    pub(super) fn comes(&mut self, calls: usize) {
        let calls = f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
        self.at_once = calls.max(self.at_once + (calls - self.at_once) * FEWER_WEIGHT);
    }

    /// A statement has taken so long.
    pub(super) fn took(&mut self, time: Duration) {
        let (now, time) = (Instant::now(), time.as_secs_f64());
        match self.window_began {
            None => (self.average, self.window_began) = (time, Some(now)),
            Some(began) if now - began >= WINDOW => {
                self.window_began = Some(now);
                self.shortest_before = std::mem::replace(&mut self.shortest, f64::INFINITY);
            }
            Some(_) => {}
        }
        self.shortest = self.shortest.min(time);
        self.average += (time - self.average) * WEIGHT;
    }

    /// How many statements may be on their way. At least one, and not bounded.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive whole number")]
    pub(super) fn slots(&self) -> usize {
        let least = if self.at_once.round() as usize <= FEW { FEW } else { 1 };
        if self.window_began.is_none() {
            return least;
        }
        let wire = (self.shortest.min(self.shortest_before) - self.server_time).max(0.0);
        let server = (self.average - wire).max(self.server_time.min(self.average)).max(f64::EPSILON);
        ((2.0 * self.average / server - 1.0).round() as usize).max(least)
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
