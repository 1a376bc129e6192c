use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::model::Limit;

/// What one engine may have under way, so that no number of callers costs it more memory than it was given.
///
/// A place and some room are taken before the store is asked for a key: what is refused has not begun. An outcome that
/// turns out to be larger than the room that was taken for it is kept all the same, beyond the bound if need be,
/// because an outcome that was told is never dropped. The next pieces of work are then refused until there is room
/// again.
#[derive(Debug)]
pub(super) struct Limits {
    max_running: AtomicUsize,
    running: AtomicUsize,
    waiting: AtomicUsize,
    max_pending_bytes: AtomicU64,
    pending_bytes: AtomicU64,
}

/// A healthy process does not run more than this at once.
const DEFAULT_MAX_RUNNING: usize = 10_000;
const DEFAULT_MAX_PENDING_BYTES: u64 = 256 * 1024 * 1024;
/// What is taken for an outcome whose size is not known yet.
const UNKNOWN_OUTCOME_BYTES: u64 = 16 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_running: AtomicUsize::new(DEFAULT_MAX_RUNNING),
            running: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            max_pending_bytes: AtomicU64::new(DEFAULT_MAX_PENDING_BYTES),
            pending_bytes: AtomicU64::new(0),
        }
    }
}

impl Limits {
    pub(super) fn set_max_running(&self, max: usize) {
        self.max_running.store(max, Ordering::Relaxed);
    }

    pub(super) fn set_max_pending_bytes(&self, max: u64) {
        self.max_pending_bytes.store(max, Ordering::Relaxed);
    }

    /// Admits one run, if there is a place for it and room for its outcome.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Admission, Limit> {
        let max = self.max_pending_bytes.load(Ordering::Relaxed);
        let room = UNKNOWN_OUTCOME_BYTES.min(max);
        let fits = |taken: u64| taken.checked_add(room).filter(|taken| room > 0 && *taken <= max);
        let taken = self.pending_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map_err(|_| Limit::MaxPendingBytes)?;
        let mut admission = Admission { limits: Arc::clone(self), runs: false, bytes: room };
        admission.runs = enter(&self.running, self.max_running.load(Ordering::Relaxed));
        if admission.runs { Ok(admission) } else { Err(Limit::MaxRunning) }
    }

    /// A place for a duplicate to wait in, of which there are as many as pieces of work may run.
    pub(super) fn wait(self: &Arc<Self>) -> Option<WaitingPlace> {
        let has_place = enter(&self.waiting, self.max_running.load(Ordering::Relaxed));
        has_place.then(|| WaitingPlace(Arc::clone(self)))
    }
}

fn enter(count: &AtomicUsize, max: usize) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1)).is_ok()
}

/// One run's place and the room for its outcome, both free again when this is dropped.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Arc<Limits>,
    runs: bool,
    bytes: u64,
}

impl Admission {
    /// The run has ended: its place is free, and its outcome takes so many bytes until it is written.
    pub(super) fn keep(&mut self, bytes: usize) {
        self.leave();
        let bytes = bytes as u64;
        if bytes > self.bytes {
            self.limits.pending_bytes.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.limits.pending_bytes.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.runs) {
            self.limits.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.leave();
        self.limits.pending_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// See [`Limits::wait`].
#[derive(Debug)]
pub(super) struct WaitingPlace(Arc<Limits>);

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_room_are_taken_and_given_back() {
        let limits: Arc<Limits> = Arc::default();
        limits.set_max_running(2);
        let (first, second) = (limits.admit().unwrap(), limits.admit().unwrap());
        assert_eq!(limits.admit().unwrap_err(), Limit::MaxRunning);
        drop(first);
        let mut third = limits.admit().unwrap();
        third.keep(0);
        assert!(limits.admit().is_ok(), "what has ended leaves its place");
        drop((second, third));
        assert_eq!((limits.running.load(Ordering::Relaxed), limits.pending_bytes.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_large_outcome_is_kept_and_the_next_run_refused() {
        let limits: Arc<Limits> = Arc::default();
        limits.set_max_pending_bytes(100_000);
        let mut large = limits.admit().unwrap();
        large.keep(2_000_000);
        assert_eq!(limits.admit().unwrap_err(), Limit::MaxPendingBytes);
        drop(large);
        assert!(limits.admit().is_ok());
        limits.set_max_pending_bytes(0);
        assert_eq!(limits.admit().unwrap_err(), Limit::MaxPendingBytes);
    }

    #[test]
    fn as_many_wait_as_may_run() {
        let limits: Arc<Limits> = Arc::default();
        limits.set_max_running(1);
        let waiting = limits.wait();
        assert!(waiting.is_some() && limits.wait().is_none());
        drop(waiting);
        assert!(limits.wait().is_some());
    }
}
