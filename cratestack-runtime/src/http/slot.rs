use std::sync::{Arc, OnceLock};

use super::problem::Problem;
use crate::engine::Hold;

/// Where the engine puts the reservation, and the handler's arguments find it. It travels in the request's extensions,
/// because extractors run before anything is reserved.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    Guarded(Arc<OnceLock<Hold>>),
    Vacant(Vacancy),
}

/// Why a request has no reservation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Vacancy {
    SafeMethod,
    NoKey(Problem),
}

impl Default for Slot {
    fn default() -> Self {
        Self::Guarded(Arc::default())
    }
}

impl Slot {
    pub(crate) fn fill(&self, hold: Hold) {
        if let Self::Guarded(slot) = self {
            // Filled once: a request is reserved once.
            let _ = slot.set(hold);
        }
    }
}
