use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What requests share that have a name in common; there while one of them is.
#[derive(Debug)]
pub(crate) struct Places<N, P> {
    places: Mutex<HashMap<N, Taken<P>>>,
}

#[derive(Debug)]
struct Taken<P> {
    place: Arc<P>,
    /// Counted by hand: how many hold the place says nothing while they let go of it.
    seats: usize,
}

impl<N, P> Default for Places<N, P> {
    fn default() -> Self {
        Self { places: Mutex::default() }
    }
}

/// One request's hold on what it shares; the last one to leave takes it down.
#[derive(Debug)]
pub(crate) struct Seat<N: Hash + Eq, P> {
    places: Arc<Places<N, P>>,
    name: N,
    place: Arc<P>,
}

impl<N: Hash + Eq + Clone, P: Default> Places<N, P> {
    pub(crate) fn enter(self: &Arc<Self>, name: N) -> Seat<N, P> {
        let mut places = self.lock();
        let taken = places.entry(name.clone()).or_insert_with(|| Taken { place: Arc::default(), seats: 0 });
        taken.seats += 1;
        Seat { places: Arc::clone(self), name, place: Arc::clone(&taken.place) }
    }
}

impl<N: Hash + Eq, P> Places<N, P> {
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn find(&self, name: &N) -> Option<Arc<P>> {
        self.lock().get(name).map(|taken| Arc::clone(&taken.place))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<N, Taken<P>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N: Hash + Eq, P> Deref for Seat<N, P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.place
    }
}

impl<N: Hash + Eq, P> Drop for Seat<N, P> {
    fn drop(&mut self) {
        let mut places = self.places.lock();
        let Some(taken) = places.get_mut(&self.name) else { return };
        taken.seats -= 1;
        if taken.seats == 0 {
            places.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What were left would be kept for ever, and with it an outcome whose `ttl` has long ended.
    #[test]
    fn the_last_to_leave_leaves_nothing() {
        let places: Arc<Places<&str, ()>> = Arc::default();
        let (one, other) = (places.enter("k"), places.enter("k"));
        let found = places.find(&"k");
        drop(one);
        assert!(places.find(&"k").is_some());
        drop(other);
        assert!(found.is_some() && places.find(&"k").is_none());
    }
}
