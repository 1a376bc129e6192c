/// Why a store could not do what it was asked.
///
/// None of these texts reaches a client: the guard logs them and answers with a problem document.
///
/// ```
/// use cratestack_runtime::StoreError;
///
/// let error = StoreError::Unavailable("connection refused (127.0.0.1:5432)".to_owned());
/// assert_eq!(error.to_string(), "the idempotency store is unavailable: connection refused (127.0.0.1:5432)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached, or has no connection to spare. Trying again later can help.
    #[error("the idempotency store is unavailable: {0}")]
    Unavailable(String),
    /// The database refused the statement.
    #[error("the idempotency store's database refused: {0}")]
    Database(String),
    /// The table is missing or older than this version needs. The text says how to create or upgrade it.
    #[error("{0}")]
    Schema(String),
    /// A row is there but does not hold what a record holds. It is neither replayed nor run again.
    #[error("damaged idempotency record: {0}")]
    Codec(String),
    /// Anything else that is the store's own fault.
    #[error("idempotency store: {0}")]
    Internal(String),
    /// The store does not implement this method of the contract.
    #[error("this idempotency store cannot {0}: it does not implement that method of `IdempotencyStore`")]
    Unsupported(&'static str),
    /// Kept so that stores written for the original error type compile; no store of this crate uses it.
    #[error("bad request: {0}")]
    BadRequest(String),
    /// Kept so that stores written for the original error type compile; no store of this crate uses it.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Kept so that stores written for the original error type compile; no store of this crate uses it.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// Kept so that stores written for the original error type compile; no store of this crate uses it.
    #[error("not found: {0}")]
    NotFound(String),
    /// Kept so that stores written for the original error type compile; no store of this crate uses it.
    #[error("precondition failed: {0}")]
    PreconditionFailed(String),
    /// Kept so that stores written for the original error type compile; no store of this crate uses it.
    #[error("unauthorized: {0}")]
    Unauthorized(String),
    /// Kept so that stores written for the original error type compile; no store of this crate uses it.
    #[error("validation: {0}")]
    Validation(String),
}

/// The original name of [`StoreError`]: a store written for it compiles by changing its imports.
///
/// ```
/// use cratestack_runtime::{CoolError, StoreError};
///
/// assert_eq!(CoolError::Internal("x".to_owned()), StoreError::Internal("x".to_owned()));
/// ```
pub type CoolError = StoreError;
