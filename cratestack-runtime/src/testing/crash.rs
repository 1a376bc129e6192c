use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::process::Fate;

/// A place in a handler, or in what it calls, at which its process dies: once, so that the retry gets beyond it.
///
/// It stands in a fake of what the handler calls, and never in a program that is deployed. The request that comes there
/// is sent with [`crash`](super::Request::crash).
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use axum::{Extension, Router, routing::post};
/// use cratestack_runtime::testing::{Crash, Service};
/// use cratestack_runtime::{MemoryStore, idempotent};
///
/// /// A payment provider for tests.
/// #[derive(Clone)]
/// struct Provider {
///     charges: Arc<Mutex<Vec<String>>>,
///     crash: Crash,
/// }
///
/// #[idempotent]
/// async fn pay(Extension(provider): Extension<Provider>, amount: String) {
///     provider.charges.lock().unwrap().push(amount);
///     provider.crash.here().await; // the money is gone, and the handler never hears of it
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let provider = Provider { charges: Arc::default(), crash: Crash::once() };
/// let outside = provider.clone();
/// let service = Service::new(MemoryStore::new(), move |idempotency| {
///     Router::new().route("/payments", post(pay)).layer(Extension(outside.clone())).with_state(idempotency)
/// });
/// let payment = service.post("/payments").key("k1").body("5");
///
/// payment.crash().await;
/// service.lease_is_over().await;
/// assert_eq!(payment.send().await.status(), 200);
/// assert_eq!(provider.charges.lock().unwrap().len(), 2, "this provider knows no idempotency keys");
/// # }
/// ```
///
/// The default is a place at which nobody dies.
#[derive(Debug, Clone, Default)]
pub struct Crash {
    is_ahead: Arc<AtomicBool>,
}

impl Crash {
    /// Whoever comes to it first dies there; clones are the same place.
    ///
    /// ```
    /// let crash = cratestack_runtime::testing::Crash::once();
    /// # let _ = crash;
    /// ```
    #[must_use]
    pub fn once() -> Self {
        Self { is_ahead: Arc::new(AtomicBool::new(true)) }
    }

    /// The first time, the process of the [`Service`](super::Service) that this is called in ends here. Any later time,
    /// nothing happens.
    ///
    /// # Panics
    ///
    /// When the first time is outside a `Service`: in a test's own task, or in a thread that blocks
    /// (`spawn_blocking`).
    pub async fn here(&self) {
        if !self.is_ahead.swap(false, Ordering::SeqCst) {
            return;
        }
        let Some(fate) = Fate::of_this_process() else {
            panic!("`Crash::here` was called outside a `testing::Service`, which alone can crash");
        };
        fate.end_here().await;
    }
}
