//! A future that is not to stop half-way.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Where whoever waits for it goes away, a task goes on with it, and drops what it comes to.
pub(super) struct ToTheEnd<T: Send + 'static> {
    /// None once it has ended.
    future: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T: Send + 'static> ToTheEnd<T> {
    pub(super) fn of(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Some(Box::pin(future)) }
    }
}

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        // Without a runtime there is nobody to go on; the end of the lease gives the key back.
        if let (Some(future), Ok(runtime)) = (self.future.take(), Handle::try_current()) {
            runtime.spawn(async move { drop(future.await) });
        }
    }
}
