use std::fmt;

/// What the suite found: one [`Check`] for each promise.
///
/// ```
/// use cratestack_runtime::MemoryStore;
/// use cratestack_runtime::testing::Conformance;
///
/// # #[tokio::main]
/// # async fn main() {
/// let report = Conformance::new().model_runs(100).run(|| async { MemoryStore::new() }).await;
/// assert!(report.failed().is_empty(), "{report}");
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a report that nobody reads cannot fail a test: call `assert`"]
pub struct Report {
    pub(super) seed: u64,
    pub(super) checks: Vec<Check>,
}

impl Report {
    /// Every check, in the order of the suite.
    ///
    /// ```
    /// # use cratestack_runtime::{MemoryStore, testing::Conformance};
    /// # #[tokio::main]
    /// # async fn main() {
    /// let report = Conformance::new().model_runs(100).run(|| async { MemoryStore::new() }).await;
    /// assert!(report.checks().iter().any(|check| check.name == "replay_is_identical"));
    /// # }
    /// ```
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The names of the checks that failed.
    ///
    /// ```
    /// # use cratestack_runtime::{MemoryStore, testing::Conformance};
    /// # #[tokio::main]
    /// # async fn main() {
    /// let report = Conformance::new().model_runs(100).run(|| async { MemoryStore::new() }).await;
    /// assert!(report.failed().is_empty());
    /// # }
    /// ```
    pub fn failed(&self) -> Vec<&'static str> {
        self.checks.iter().filter(|check| matches!(check.verdict, Verdict::Failed(_))).map(|check| check.name).collect()
    }

    /// Whether no check failed.
    ///
    /// ```
    /// # use cratestack_runtime::{MemoryStore, testing::Conformance};
    /// # #[tokio::main]
    /// # async fn main() {
    /// let report = Conformance::new().model_runs(100).run(|| async { MemoryStore::new() }).await;
    /// assert!(report.passed());
    /// # }
    /// ```
    pub fn passed(&self) -> bool {
        self.failed().is_empty()
    }

    /// Ends the test if a check failed.
    ///
    /// ```
    /// # use cratestack_runtime::{MemoryStore, testing::Conformance};
    /// # #[tokio::main]
    /// # async fn main() {
    /// Conformance::new().model_runs(100).run(|| async { MemoryStore::new() }).await.assert();
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// With every failure in the message, if there is one.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.passed(), "the store breaks promises\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |wanted: fn(&Verdict) -> bool| self.checks.iter().filter(|check| wanted(&check.verdict)).count();
        writeln!(
            f,
            "{} passed, {} failed, {} skipped; seed {:#x}",
            count(|verdict| *verdict == Verdict::Passed),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
            count(|verdict| matches!(verdict, Verdict::Skipped(_))),
            self.seed,
        )?;
        for Check { name, verdict } in &self.checks {
            match verdict {
                Verdict::Passed => {}
                Verdict::Failed(why) => writeln!(f, "FAILED  {name}: {why}")?,
                Verdict::Skipped(why) => writeln!(f, "skipped {name}: {why}")?,
            }
        }
        Ok(())
    }
}

/// One promise, and whether the store kept it.
///
/// ```
/// use cratestack_runtime::testing::{Check, Verdict};
///
/// let check = Check { name: "outcome_is_frozen", verdict: Verdict::Passed };
/// assert_eq!(check.verdict, Verdict::Passed);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The promise, in snake case. Names are stable: tests may rely on them.
    pub name: &'static str,
    /// Whether it was kept.
    pub verdict: Verdict,
}

/// How a [`Check`] ended.
///
/// ```
/// use cratestack_runtime::testing::Verdict;
///
/// assert_ne!(Verdict::Passed, Verdict::Skipped("the store has no leases".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The promise held.
    Passed,
    /// It did not; the text says what was seen.
    Failed(String),
    /// It is about something that the store does not offer.
    Skipped(String),
}
