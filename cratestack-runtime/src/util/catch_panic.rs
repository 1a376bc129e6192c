use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The future's output, or `None` where it panicked.
///
/// Unwind safety is asserted, not proved: what the future borrowed may be half-changed, so a caller must not go on with
/// state that the future shared.
pub(crate) async fn catch_panic<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::catch_panic;

    #[tokio::test]
    async fn a_panic_after_an_await_is_a_value() {
        let output: Option<()> = catch_panic(async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        })
        .await;
        assert_eq!(output, None);
        assert_eq!(catch_panic(async { 1 }).await, Some(1));
    }
}
