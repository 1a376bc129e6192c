use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic under the lock: every change that is made under it must be whole before anything can
/// panic, so that a poisoned state is as good as any other.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
