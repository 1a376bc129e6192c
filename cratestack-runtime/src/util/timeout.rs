use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;

/// [`tokio::time::timeout`], but what is ready at once costs no timer.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    if let Some(output) = poll_once(future.as_mut()).await {
        return Ok(output);
    }
    // Boxed, because each future around it would be as large as the timer, which is seldom there.
    Box::pin(tokio::time::timeout(limit, future)).await
}

/// The future's output, where one look is enough for it.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up() {
        let second = Duration::from_secs(1);
        assert_eq!(timeout(second, async { 1 }).await.ok(), Some(1));
        assert!(timeout(second, tokio::time::sleep(second / 2)).await.is_ok());
        assert!(timeout(second, tokio::time::sleep(second * 2)).await.is_err());
    }

    /// Ready at once is in time, whatever the limit.
    #[tokio::test]
    async fn what_is_ready_needs_no_time() {
        assert!(timeout(Duration::ZERO, std::future::ready(())).await.is_ok());
    }
}
