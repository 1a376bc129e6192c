use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::util::lock;

/// Leaves the database to others now and then, while batch follows batch.
///
/// Writers elsewhere (another process, or a handler that writes by itself) do not queue: SQLite has them sleep and look
/// again, sixty times within a `busy_timeout` of five seconds. What counts for them is the share of the time in which a
/// look finds the database free, however it is divided.
#[derive(Debug)]
pub(super) struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Since the last pause.
    held: Duration,
    free_since: Instant,
}

/// After being held for so long without a pause, the database is left alone for one.
const MAX_HELD: Duration = Duration::from_millis(8);

/// The least that a timer of tokio takes.
const PAUSE: Duration = Duration::from_millis(1);

impl Throttle {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { held: Duration::ZERO, free_since: Instant::now() }))
    }

    /// How long the next batch is to wait, if at all. Time in which there was none counts.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let mut state = lock(&self.0);
        let free = now.saturating_duration_since(state.free_since);
        if free < PAUSE && state.held < MAX_HELD {
            return None;
        }
        state.held = Duration::ZERO;
        (free < PAUSE).then(|| PAUSE.saturating_sub(free))
    }

    pub(super) fn held(&self, from: Instant, until: Instant) {
        let mut state = lock(&self.0);
        state.held += until.saturating_duration_since(from);
        state.free_since = until;
    }

    #[cfg(test)]
    pub(super) fn held_since_pause(&self) -> Duration {
        self.0.lock().unwrap().held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_after_batch_pauses_and_a_batch_now_and_then_does_not() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let at = |micros| start + Duration::from_micros(micros);
        for (from, until) in [(0, 3_000), (3_100, 6_000)] {
            throttle.held(at(from), at(until));
            assert_eq!(throttle.pause(at(until + 100)), None);
        }
        throttle.held(at(6_100), at(9_000));
        assert_eq!(throttle.pause(at(9_100)), Some(Duration::from_micros(900)), "less what it was free already");
        throttle.held(at(10_000), at(13_000));
        assert_eq!(throttle.pause(at(13_100)), None, "and counts anew");

        throttle.held(at(13_100), at(30_000));
        assert_eq!(throttle.pause(at(31_000)), None, "it has been free for as long");
        throttle.held(at(31_000), at(32_000));
        assert_eq!(throttle.pause(at(32_000)), None);
    }
}
