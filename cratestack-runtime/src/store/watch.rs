use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

/// A watch on one key, made by [`IdempotencyStore::watch`](crate::IdempotencyStore::watch); dropping it ends the watch.
///
/// ```
/// use cratestack_runtime::Watch;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (told, news) = tokio::sync::oneshot::channel::<()>();
/// let mut watch = Watch::new(async move { drop(news.await) });
/// told.send(()).unwrap();
/// watch.changed().await;
/// # }
/// ```
pub struct Watch {
    change: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Watch {
    /// A watch that is told by `change` becoming ready, once.
    pub fn new(change: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { change: Some(Box::pin(change)) }
    }

    /// Waits until the key may have been completed or released. It may also return early, and after the first time it
    /// does not return again: the caller asks the store, and watches anew.
    pub async fn changed(&mut self) {
        match &mut self.change {
            Some(change) => change.as_mut().await,
            None => std::future::pending().await,
        }
        self.change = None;
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// A look at the clock of a store, and at whether the store is still the one that it was.
///
/// Two samples of equal `session` are a promise: from before the first of them to after the second, the store has lived
/// without interruption, so nothing that it had committed is lost. A crash, a failover, a restored backup: each begins
/// another session. What a session is depends on the store (for `PostgresStore`, one backend of the server); the number
/// itself means nothing.
///
/// ```
/// use std::time::SystemTime;
/// use cratestack_runtime::ClockSample;
///
/// let before = ClockSample { now: SystemTime::now(), session: 7 };
/// let after = ClockSample { now: SystemTime::now(), session: 8 };
/// assert_ne!(before.session, after.session, "between the two, commits may have been lost");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSample {
    /// What the store's clock shows.
    pub now: SystemTime,
    /// Which life of the store this was taken in.
    pub session: u128,
}
