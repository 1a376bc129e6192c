//! Where a test can stop a run: its handler has ended, and nothing of its outcome has reached the store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::handle::Idempotency;

type Reached = dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// What happens to a run that has come there. It travels with the handle's settings.
#[derive(Clone, Default)]
pub(crate) struct CrashPoint(Option<Arc<Reached>>);

impl CrashPoint {
    pub(crate) fn new<F: Future<Output = ()> + Send + 'static>(
        reached: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(move || Box::pin(reached()))))
    }

    pub(super) async fn reached(idempotency: &Idempotency) {
        if let Self(Some(reached)) = idempotency.settings().doors.get() {
            reached().await;
        }
    }
}

impl<S: ?Sized> Idempotency<S> {
    pub(crate) fn with_crash_point(self, point: CrashPoint) -> Self {
        self.set(|settings| settings.doors.update(|own| *own = point))
    }
}
