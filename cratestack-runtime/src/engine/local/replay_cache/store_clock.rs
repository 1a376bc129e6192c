use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::store::{ClockSample, StoreError};
use crate::util::lock;

/// A session counts for this long after the sending of a sample that showed it.
pub(super) const SESSION_MAX_AGE: Duration = Duration::from_secs(1);
/// A hit by a sample of this age asks for the next one, so that under traffic it is there before hits stop counting.
pub(super) const SESSION_REFRESH_AGE: Duration = Duration::from_millis(750);
/// Without hits, a sample of this age is renewed for the sake of its clock.
pub(super) const CLOCK_REFRESH_AGE: Duration = Duration::from_secs(60);
/// Two clocks may differ in their rate: a sample of this age does not say how late it is.
pub(super) const CLOCK_MAX_AGE: Duration = Duration::from_secs(120);
/// A store that answers to a sample that it has none, or fails, is not asked again for this long.
pub(super) const SAMPLE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Numbers the sessions that this process has seen the store in, and knows until when the latest one counts.
///
/// Hits read the three numbers without a lock; the one task that takes samples writes them. It writes `session` before
/// the times, and a hit reads it after them. So a hit that sees the times of a sample sees its session as well, or a
/// later one, and entries of an older session are misses to it. A hit that still sees the times of an older sample is
/// judged by those, which end earlier.
#[derive(Debug)]
pub(super) struct StoreClock {
    epoch: Instant,
    /// 0 where none is current.
    session: AtomicU64,
    /// When the latest sample was sent, in microseconds after `epoch`, and by the clock on the wall after the Unix
    /// epoch: the one goes on when the other is set, the other when the machine is suspended.
    confirmed: AtomicU64,
    confirmed_by_the_wall: AtomicU64,
    latest: Mutex<Latest>,
    is_sampling: AtomicBool,
}

#[derive(Debug, Default)]
struct Latest {
    sample: Option<TimedSample>,
    not_before: Option<Instant>,
    sessions: u64,
}

#[derive(Debug, Clone, Copy)]
struct TimedSample {
    sample: ClockSample,
    /// Before the store was asked, so that its clock is behind what is reckoned from here rather than ahead.
    sent: Instant,
}

impl Default for StoreClock {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            session: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            confirmed_by_the_wall: AtomicU64::new(0),
            latest: Mutex::default(),
            is_sampling: AtomicBool::new(false),
        }
    }
}

impl StoreClock {
    /// How long ago the sample was sent that last showed this session; `None` where it is over.
    pub(super) fn unconfirmed_for(&self, session: u64, now: Instant, by_the_wall: SystemTime) -> Option<Duration> {
        let confirmed = self.confirmed.load(Ordering::Acquire);
        let confirmed_by_the_wall = self.confirmed_by_the_wall.load(Ordering::Acquire);
        if !self.is_current(session) {
            return None;
        }
        let age = micros(now.saturating_duration_since(self.epoch)).saturating_sub(confirmed);
        // A clock on the wall that was set back proves nothing until the next sample.
        let age_by_the_wall = since_unix(by_the_wall).checked_sub(confirmed_by_the_wall).unwrap_or(u64::MAX);
        Some(Duration::from_micros(age.max(age_by_the_wall)))
    }

    pub(super) fn is_current(&self, session: u64) -> bool {
        self.session.load(Ordering::Acquire) == session
    }

    /// The session that the store was last seen in, and whether another sample is due though nobody has asked for a
    /// hit.
    pub(super) fn session(&self) -> (Option<u64>, bool) {
        let latest = self.lock();
        let is_due = match latest.sample {
            Some(taken) => taken.sent.elapsed() >= CLOCK_REFRESH_AGE,
            None => latest.not_before.is_none_or(|end| end <= Instant::now()),
        };
        (latest.sample.map(|_| latest.sessions), is_due)
    }

    /// The session is over, and the next sample begins another, also where it was sent before.
    pub(super) fn end_session(&self) {
        let mut latest = self.lock();
        self.session.store(0, Ordering::Release);
        latest.sample = None;
    }

    /// The latest that the store's clock can show now.
    pub(super) fn now(&self) -> Option<SystemTime> {
        let TimedSample { sample, sent } = self.lock().sample?;
        let age = Some(sent.elapsed()).filter(|age| *age < CLOCK_MAX_AGE)?;
        sample.now.checked_add(age)
    }

    /// Leave to take a sample; one is taken at a time.
    pub(super) fn begin_sample(self: &Arc<Self>) -> Option<Sampling> {
        if self.is_sampling.load(Ordering::Relaxed) || self.is_sampling.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(Sampling { clock: Arc::clone(self), sent: Instant::now(), sent_by_the_wall: SystemTime::now() })
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        lock(&self.latest)
    }
}

/// A sample that is being taken. Whoever drops it unfinished, as a runtime does that shuts down, lets the next one
/// begin.
#[derive(Debug)]
pub(super) struct Sampling {
    clock: Arc<StoreClock>,
    sent: Instant,
    sent_by_the_wall: SystemTime,
}

impl Sampling {
    /// Takes note of what the store has answered. Says whether a session ended by it.
    pub(super) fn end(self, answer: &Result<Option<ClockSample>, StoreError>) -> bool {
        let clock = &*self.clock;
        let mut latest = clock.lock();
        let before = latest.sample;
        let Ok(Some(sample)) = *answer else {
            clock.session.store(0, Ordering::Release);
            latest.sample = None;
            latest.not_before = Instant::now().checked_add(SAMPLE_RETRY_AFTER);
            return before.is_some();
        };
        let is_the_same = before.is_some_and(|before| before.sample.session == sample.session);
        if !is_the_same {
            latest.sessions += 1;
            clock.session.store(latest.sessions, Ordering::Release);
        }
        clock.confirmed_by_the_wall.store(since_unix(self.sent_by_the_wall), Ordering::Release);
        clock.confirmed.store(micros(self.sent.saturating_duration_since(clock.epoch)), Ordering::Release);
        latest.sample = Some(TimedSample { sample, sent: self.sent });
        latest.not_before = None;
        before.is_some() && !is_the_same
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.clock.is_sampling.store(false, Ordering::Release);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn since_unix(time: SystemTime) -> u64 {
    micros(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
