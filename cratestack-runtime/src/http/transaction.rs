use std::fmt;

use super::guard::Work;

/// A handler that may run more than once for a request, each time in a transaction of its own.
pub struct Attempts(Box<dyn FnMut() -> Work + Send>);

impl Attempts {
    /// As often as it is asked to.
    pub fn new(attempt: impl FnMut() -> Work + Send + 'static) -> Self {
        Self(Box::new(attempt))
    }

    pub(super) fn next(&mut self) -> Work {
        (self.0)()
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempts")
    }
}

/// What an error that became a response was caused by; it travels in the response's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A serialization failure or a deadlock.
    Transient,
    /// Any other error of the database.
    Other,
}
