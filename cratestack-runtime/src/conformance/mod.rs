//! The conformance suite: does a store keep what [`IdempotencyStore`] promises? It is public as `testing`.

mod bench;
mod checks;
mod model;
pub mod reference;
mod report;
mod rng;
mod suite;
#[cfg(test)]
mod tests;
mod tokens;

pub use report::{Check, Report, Verdict};
pub use suite::Conformance;

use crate::store::IdempotencyStore;

/// Runs every check with the default options; see [`Conformance`] for others.
///
/// `connect` makes a handle on the store, and is called once for each check. Where a handle is costly, let it hand out
/// clones: `|| async { PostgresStore::new(pool.clone()) }`.
///
/// ```
/// use cratestack_runtime::{MemoryStore, testing};
///
/// # #[tokio::main]
/// # async fn main() {
/// let report = testing::conformance(|| async { MemoryStore::new() }).await;
/// println!("{report}");
/// report.assert();
/// # }
/// ```
pub async fn conformance<S, F, Fut>(connect: F) -> Report
where
    S: IdempotencyStore,
    F: Fn() -> Fut,
    Fut: Future<Output = S>,
{
    Conformance::new().run(connect).await
}

impl Conformance {
    /// Runs the suite. The checks run at the same time, each as a task of the current tokio runtime; a runtime of
    /// several threads finds more.
    ///
    /// ```
    /// use cratestack_runtime::MemoryStore;
    /// use cratestack_runtime::testing::Conformance;
    ///
    /// # #[tokio::main]
    /// # async fn main() {
    /// let store = MemoryStore::new();
    /// let report = Conformance::new().model_runs(100).run(|| async { store.clone() }).await;
    /// assert!(report.passed());
    /// # }
    /// ```
    pub async fn run<S, F, Fut>(&self, connect: F) -> Report
    where
        S: IdempotencyStore,
        F: Fn() -> Fut,
        Fut: Future<Output = S>,
    {
        checks::run(self, connect).await
    }
}
