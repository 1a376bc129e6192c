use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

/// The conformance suite and its options.
///
/// ```
/// use std::time::Duration;
/// use cratestack_runtime::MemoryStore;
/// use cratestack_runtime::testing::Conformance;
///
/// # #[tokio::main]
/// # async fn main() {
/// let report = Conformance::new()
///     .unit(Duration::from_millis(50))
///     .model_runs(200)
///     .require_every_method()
///     .run(|| async { MemoryStore::new() })
///     .await;
/// report.assert();
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "the suite does nothing until `run`"]
pub struct Conformance {
    pub(super) unit: Duration,
    pub(super) runs: u32,
    pub(super) seed: u64,
    pub(super) every_method: bool,
    pub(super) stall: Option<Stall>,
}

/// What lets the writes of a store wait, see [`Conformance::stall_writes`].
#[derive(Clone)]
pub(super) struct Stall(pub(super) Arc<dyn Fn() -> Stalling + Send + Sync>);

type Stalling = Pin<Box<dyn Future<Output = Box<dyn Send>> + Send>>;

impl fmt::Debug for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stall")
    }
}

impl Conformance {
    /// The whole suite: a unit of 100 milliseconds, 1,000 runs of the model, a new seed each time.
    ///
    /// ```
    /// let suite = cratestack_runtime::testing::Conformance::new();
    /// # let _ = suite;
    /// ```
    pub fn new() -> Self {
        let seed = Uuid::new_v4().as_u64_pair().0;
        Self { unit: Duration::from_millis(100), runs: 1000, seed, every_method: false, stall: None }
    }

    /// The measure of every wait: a lease of the suite lasts two to four units. It should be well over the resolution
    /// of the store's clock and the time that a call takes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cratestack_runtime::testing::Conformance;
    ///
    /// let suite = Conformance::new().unit(Duration::from_secs(1));
    /// # let _ = suite;
    /// ```
    pub fn unit(mut self, unit: Duration) -> Self {
        self.unit = unit;
        self
    }

    /// Where the random choices start. A report names the seed it ran with, and a failure of the model names the seed
    /// that repeats it at once.
    ///
    /// ```
    /// use cratestack_runtime::testing::Conformance;
    ///
    /// let suite = Conformance::new().seed(0x5eed).model_runs(1);
    /// # let _ = suite;
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many random histories are compared with the reference model.
    ///
    /// ```
    /// let suite = cratestack_runtime::testing::Conformance::new().model_runs(10_000);
    /// # let _ = suite;
    /// ```
    pub fn model_runs(mut self, runs: u32) -> Self {
        self.runs = runs;
        self
    }

    /// Demands leases and sweeping: a store that answers [`LeaseState::Unknown`](crate::LeaseState::Unknown) or never
    /// deletes anything then fails, where it would otherwise skip the checks about them.
    ///
    /// ```
    /// let suite = cratestack_runtime::testing::Conformance::new().require_every_method();
    /// # let _ = suite;
    /// ```
    pub fn require_every_method(mut self) -> Self {
        self.every_method = true;
        self
    }

    /// Lets the suite see what becomes of writes that wait: for a lock, for another writer, for a standby.
    ///
    /// `stall` has to keep every write of the store waiting, and not fail, from when it is ready until what it has
    /// returned is dropped. Over Postgres, a transaction that has executed `LOCK TABLE … IN SHARE MODE` does; over
    /// SQLite one that has begun with `BEGIN IMMEDIATE`, where the store's `busy_timeout` is longer than twenty units.
    /// The checks that use it run one at a time, after all others; without it they are
    /// [skipped](super::Verdict::Skipped).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cratestack_runtime::testing::Conformance;
    /// use tokio::sync::RwLock;
    ///
    /// // Of a store that holds this lock for reading while it writes.
    /// let gate = Arc::new(RwLock::new(()));
    /// let suite = Conformance::new().stall_writes(move || Arc::clone(&gate).write_owned());
    /// # let _ = suite;
    /// ```
    pub fn stall_writes<F, Fut>(mut self, stall: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Send + 'static,
    {
        let stalling = move || -> Stalling {
            let stalling = stall();
            Box::pin(async move { Box::new(stalling.await) as Box<dyn Send> })
        };
        self.stall = Some(Stall(Arc::new(stalling)));
        self
    }
}

impl Default for Conformance {
    fn default() -> Self {
        Self::new()
    }
}
