use std::future::Future;
use std::pin::Pin;

use axum::response::Response;

/// The handler, boxed once: everything behind it is compiled once, in this crate, and not once per handler.
pub type Work = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler that may run more than once for a request, each time in a transaction of its own.
pub struct Attempts(Box<dyn FnMut() -> Work + Send>);

impl Attempts {
    /// `attempt` makes the work of one run, as often as it is called.
    pub fn new(attempt: impl FnMut() -> Work + Send + 'static) -> Self {
        Self(Box::new(attempt))
    }

    pub(super) fn next(&mut self) -> Work {
        (self.0)()
    }
}
