use std::panic::Location;
use std::time::Duration;

use crate::store::StoreError;

/// Why a step of a run gave no value, where its own closure is not to blame.
///
/// It becomes the handler's own error by `From`. Nothing is lost by it: what the run has recorded stays recorded, and
/// an error response of this run is not kept, so that a retry goes on from there. Where the step was done and is not
/// recorded, a retry finds the key in flight until the lease ends, and then does the step again.
///
/// ```
/// use cratestack_runtime::StepError;
///
/// enum PaymentError {
///     Declined,
///     Unfinished(StepError),
/// }
///
/// impl From<StepError> for PaymentError {
///     fn from(error: StepError) -> Self {
///         Self::Unfinished(error)
///     }
/// }
/// # let _ = PaymentError::Declined;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// Two steps of one run have one name. The first counts, and the second has not begun.
    #[error(
        "the step `{name}` is begun twice in one run, at {first} and at {second}: give each a name of its own; what is to \
         be tried again is tried within the closure"
    )]
    Repeated {
        /// The name.
        name: String,
        /// Where the first was begun.
        first: &'static Location<'static>,
        /// Where the second was.
        second: &'static Location<'static>,
    },
    /// An earlier attempt recorded a value that this program cannot read. The step has not run again.
    #[error(
        "the step `{name}` was done by an earlier attempt, whose value is not one of this program's type ({reason}); let \
         the type read what older programs have recorded, or give the step another name where it may be done again"
    )]
    Undecodable {
        /// The step's name.
        name: String,
        /// What is wrong with it, without the value itself.
        reason: String,
    },
    /// The value cannot be recorded. The closure has run; where it ran in a transaction, that is rolled back.
    #[error("the value of the step `{name}` cannot be recorded: {reason}")]
    Unencodable {
        /// The step's name.
        name: String,
        /// What is wrong with it, without the value itself.
        reason: String,
    },
    /// Its value is larger than a step's may be. The closure has run; where it ran in a transaction, that is rolled
    /// back.
    #[error(
        "the value of the step `{name}` cannot be recorded: it has {bytes} bytes, and at most {limit} are kept; let the \
         step's value be what the next steps need"
    )]
    TooLarge {
        /// The step's name.
        name: String,
        /// How many bytes it has.
        bytes: usize,
        /// How many are kept.
        limit: usize,
    },
    /// The run's steps take as much as may be kept of one run. This one has not begun.
    #[error(
        "the step `{name}` has not begun: the {steps} steps that its run has recorded take {bytes} bytes, and a run begins \
         none once they take {limit}; record less of each, such as an id, or do the work in several requests"
    )]
    TooMany {
        /// The step's name.
        name: String,
        /// How many steps are recorded.
        steps: usize,
        /// How many bytes they take.
        bytes: usize,
        /// With how many a run begins no other.
        limit: usize,
    },
    /// The run's lease is over, or another run has its key: it begins no step, and records none. A transaction step is
    /// rolled back.
    #[error("the step `{name}` is another run's: the lease of this one is over")]
    Lost {
        /// The step's name.
        name: String,
    },
    /// The store could not say what is recorded, or did not record the step, which may then have been done.
    #[error("the step `{name}` is not recorded: {error}")]
    Store {
        /// The step's name.
        name: String,
        /// What the store said.
        error: StoreError,
    },
    /// A step was begun within the closure of a transaction step. Neither it nor what follows it has been done.
    #[error(
        "the step `{name}` is begun within the transaction step `{within}`, by which it would be undone and stay recorded: \
         begin it before that or after it"
    )]
    Nested {
        /// The step's name.
        name: String,
        /// The name of the step around it.
        within: String,
    },
    /// The closure of a transaction step took longer than the run's lease. It is rolled back.
    #[error(
        "the transaction step `{name}` took longer than the lease, {limit:?}, and is rolled back: give the handler a longer \
         `lease`, or take out of the closure what needs no transaction"
    )]
    TimedOut {
        /// The step's name.
        name: String,
        /// The lease.
        limit: Duration,
    },
    /// A transaction step was rolled back, for a reason that another attempt may not meet: transactions in each other's
    /// way, a connection that was lost before the commit.
    #[error("the transaction step `{name}` was rolled back: {error}")]
    RolledBack {
        /// The step's name.
        name: String,
        /// What the store said.
        error: StoreError,
    },
    /// A transaction step cannot be committed and was rolled back; another attempt would fare no better.
    #[error("the transaction step `{name}` cannot be committed and was rolled back: {error}")]
    Refused {
        /// The step's name.
        name: String,
        /// What the store said.
        error: StoreError,
    },
    /// The closure of a transaction step has ended its transaction by itself. What it wrote may be committed, and the
    /// step is not recorded.
    #[error(
        "the closure of the transaction step `{name}` ended its transaction with a statement of its own (COMMIT or \
         ROLLBACK): what it wrote may be committed, and the step is not recorded; let the closure return instead"
    )]
    Ended {
        /// The step's name.
        name: String,
    },
    /// The answer to the commit of a transaction step was lost, and the store could not say whether it happened. The
    /// next attempt finds the step, or does it.
    #[error("it is not known whether the transaction step `{name}` was committed: {error}")]
    Unknown {
        /// The step's name.
        name: String,
        /// What the store said.
        error: StoreError,
    },
}
