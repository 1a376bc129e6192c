//! What a client is told where a charge fails.

use std::time::Duration;

use cratestack_runtime::{GuardError, StepError};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ChargeError {
    #[error(transparent)]
    Provider(#[from] Status),
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Guard(#[from] GuardError),
}

impl From<ChargeError> for Status {
    fn from(error: ChargeError) -> Self {
        // What a store says is for the log alone.
        eprintln!("{error}");
        let (code, message) = match error {
            ChargeError::Provider(status) => return status,
            ChargeError::Guard(GuardError::KeyMissing { .. }) => (Code::InvalidArgument, "send an `idempotency-key`"),
            ChargeError::Guard(GuardError::PrincipalMissing { .. }) => (Code::Unauthenticated, "send `authorization`"),
            ChargeError::Guard(GuardError::Conflict { .. }) => {
                (Code::FailedPrecondition, "the idempotency key belongs to another order")
            }
            ChargeError::Guard(error) if error.may_retry() => return try_again("the charge is not finished"),
            ChargeError::Step(StepError::Store { .. } | StepError::Lost { .. }) => {
                return try_again("the charge is not finished");
            }
            ChargeError::Guard(_) | ChargeError::Step(_) => (Code::Internal, "the charge needs somebody to look at it"),
        };
        Status::new(code, message)
    }
}

/// To be sent again as it is, with the same key: `Aborted` would ask for more than that.
fn try_again(message: &str) -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
    Status::with_error_details(Code::Unavailable, message, details)
}
