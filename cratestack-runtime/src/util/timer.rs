//! Timers that almost never fire, as those of timeouts, without the price that tokio has for them.
//!
//! A thread that sleeps in tokio's driver wakes at the earliest timer. Whoever sets one that is earlier still wakes it,
//! so that it looks again: a system call here, and there a thread that wakes for nothing, for each call of a store that
//! takes a moment. In a service that has few timers, each timeout is the earliest one.
//!
//! ```text
//! without         timeout in 10 s: the earliest, so the driver is woken; the answer comes; again for the next call
//! with            the keeper's timer, in 1 s at most, is the earliest; timeouts come and go behind it
//! ```
//!
//! So while timeouts are set, one task of the process keeps a timer that is earlier than theirs. It ends where none was
//! set for a while. Nothing but speed depends on it: it may be on another runtime than a timeout, or on one that nobody
//! drives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

/// Timeouts that are shorter gain nothing by the keeper.
const INTERVAL: Duration = Duration::from_secs(1);

static KEEPER: Keeper = Keeper::new();

#[derive(Debug)]
struct Keeper {
    /// Its task is there.
    is_there: AtomicBool,
    /// A timeout was set since the task has looked.
    is_wanted: AtomicBool,
}

/// To be called before a timeout is set.
pub(super) fn keep_an_earlier_one() {
    KEEPER.want();
}

impl Keeper {
    const fn new() -> Self {
        Self { is_there: AtomicBool::new(false), is_wanted: AtomicBool::new(false) }
    }

    fn want(&'static self) {
        // Looked at first, because many threads share the line.
        if !self.is_wanted.load(Ordering::Relaxed) {
            self.is_wanted.store(true, Ordering::Relaxed);
        }
        if self.is_there.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.is_there.swap(true, Ordering::Relaxed) {
            runtime.spawn(self.keep(Task(self)));
        }
    }

    async fn keep(&'static self, _task: Task) {
        while self.is_wanted.swap(false, Ordering::Relaxed) {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// However the task ends, as a rule with its runtime, the next timeout finds that there is none.
struct Task(&'static Keeper);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.is_there.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that no other test has to do with.
    fn keeper() -> &'static Keeper {
        Box::leak(Box::new(Keeper::new()))
    }

    fn is_there(keeper: &Keeper) -> bool {
        keeper.is_there.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_there_while_timeouts_are_set_and_for_a_while_after() {
        let keeper = keeper();
        for _ in 0..5 {
            keeper.want();
            tokio::time::sleep(INTERVAL / 2).await;
            assert!(is_there(keeper));
        }
        tokio::time::sleep(INTERVAL * 3).await;
        assert!(!is_there(keeper), "nobody has wanted it");
        keeper.want();
        assert!(is_there(keeper));
    }

    #[test]
    fn it_ends_with_its_runtime_and_another_runtime_has_the_next() {
        let keeper = keeper();
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = runtime();
        first.block_on(async { keeper.want() });
        assert!(is_there(keeper));
        drop(first);
        assert!(!is_there(keeper));
        let second = runtime();
        second.block_on(async { keeper.want() });
        assert!(is_there(keeper));
    }

    #[test]
    fn without_a_runtime_there_is_none() {
        let keeper = keeper();
        keeper.want();
        assert!(!is_there(keeper));
    }
}
