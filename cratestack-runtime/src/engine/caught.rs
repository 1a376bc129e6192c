use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::store::StoreError;

/// The future's output, or `None` where it panicked.
///
/// Unwind safety is asserted, not proved: what the future borrowed may be half-changed, so a caller must not go on with
/// state that the future shared.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// The same of what a store does: a panic of its is an error.
pub(super) async fn caught_of_store<T>(future: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    caught(future).await.unwrap_or_else(|| Err(StoreError::Internal("the store panicked".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[tokio::test]
    async fn a_panic_after_an_await_is_a_value() {
        let output: Option<()> = caught(async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        })
        .await;
        assert_eq!(output, None);
        assert_eq!(caught(async { 1 }).await, Some(1));
    }
}
