//! The conformance suite: does a store keep what [`IdempotencyStore`] promises?
//!
//! Three lines in a store's own tests run all of it:
//!
//! ```
//! use cratestack_runtime::{MemoryStore, testing};
//!
//! # #[tokio::main]
//! # async fn main() {
//! testing::conformance(|| async { MemoryStore::new() }).await.assert();
//! # }
//! ```
//!
//! Every check makes principals of its own, so the suite can run over a database that others use at the same time. What
//! it leaves behind expires within ten minutes, but for three rows whose retention is measured in years; nothing it
//! does deletes a row that is live.
//!
//! A store with only the three required methods passes what applies to it: a store whose
//! [`renew`](IdempotencyStore::renew) answers [`LeaseState::Unknown`](crate::LeaseState::Unknown) has no lease, and the checks
//! about leases are [skipped](Verdict::Skipped), not passed. So are those about [`show`](IdempotencyStore::show) and the
//! other methods for operators where a store has none.
//!
//! No check fails because a machine is busy. Where a promise is about time, the check measures how long it took itself;
//! if that was too long to tell, it starts over with twice the time. Only a store that is too slow for
//! [`Conformance::unit`] after several such rounds fails, and says so.

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
