use std::panic::Location;

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
    #[error("the step `{name}` is begun twice in one run, at {first} and at {second}: give each a name of its own")]
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
    /// The value cannot be recorded. The closure has run.
    #[error("the step `{name}` was done, but its value cannot be recorded: {reason}")]
    Unencodable {
        /// The step's name.
        name: String,
        /// What is wrong with it, without the value itself.
        reason: String,
    },
    /// Its value is larger than a step's may be. The closure has run.
    #[error("the step `{name}` was done, but its value has {bytes} bytes, and at most {limit} are kept")]
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
    /// The run's lease is over, or another run has its key: it begins no step, and records none.
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
}
