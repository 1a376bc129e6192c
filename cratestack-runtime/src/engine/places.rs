use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What requests share that have a name in common; there while one of them is.
#[derive(Debug)]
pub(crate) struct Places<N, P> {
    places: Mutex<HashMap<N, Arc<P>>>,
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
        let place = Arc::clone(self.lock().entry(name.clone()).or_default());
        Seat { places: Arc::clone(self), name, place }
    }
}

impl<N: Hash + Eq, P> Places<N, P> {
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn find(&self, name: &N) -> Option<Arc<P>> {
        self.lock().get(name).map(Arc::clone)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<N, Arc<P>>> {
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
        // The map's and our own.
        if Arc::strong_count(&self.place) == 2 {
            places.remove(&self.name);
        }
    }
}
