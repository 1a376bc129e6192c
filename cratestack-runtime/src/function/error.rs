use crate::store::StoreError;

/// What the guard of a function has to say in the function's place: it becomes the function's own error by `From`.
///
/// ```
/// use cratestack_runtime::GuardError;
///
/// enum ChargeError {
///     Declined,
///     Guard(GuardError),
/// }
///
/// impl From<GuardError> for ChargeError {
///     fn from(error: GuardError) -> Self {
///         Self::Guard(error)
///     }
/// }
/// # let _ = ChargeError::Declined;
/// ```
///
/// With `thiserror` that is `#[from]`, and `anyhow::Error` takes it as it is. [`may_retry`](Self::may_retry) tells a
/// consumer whether to have a message delivered again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The same call is running, here or elsewhere.
    #[error("`{function}` is running under this key: call it again later, or have duplicates wait with `wait = \"…\"`")]
    InFlight {
        /// The function's `name`.
        function: &'static str,
    },
    /// The key belongs to a call with another fingerprint, or of another function of the same name.
    #[error("`{function}` was called with this key and another fingerprint: another call takes another key")]
    Conflict {
        /// The function's `name`.
        function: &'static str,
    },
    /// `key = …` came to nothing: `None`, an empty string or slice. The body has not run.
    #[error("`{function}` was called without a key: its `key = …` came to nothing (`None`, or empty)")]
    KeyMissing {
        /// The function's `name`.
        function: &'static str,
    },
    /// `principal = …` came to nothing, alone or in a part. The body has not run.
    #[error(
        "`{function}` was called for nobody: its `principal = …`, or a part of it, came to nothing (`None`, or empty)"
    )]
    PrincipalMissing {
        /// The function's `name`.
        function: &'static str,
    },
    /// The store could not say whether the key is free, and the body has not run. Where the error is
    /// [`StoreError::Internal`], the guard itself broke down, and what ran is not known.
    #[error("`{function}` was not run, because its key could not be reserved: {error}")]
    StoreUnavailable {
        /// The function's `name`.
        function: &'static str,
        /// What the store said.
        error: StoreError,
    },
    /// So much is under way in this process that nothing more may begin.
    #[error("`{function}` was not run, because a bound of its `Idempotency` is met: {bound}")]
    Overloaded {
        /// The function's `name`.
        function: &'static str,
        /// The bound: `max_running` or `max_pending_bytes`.
        bound: &'static str,
    },
    /// The body ran past its lease, and another run took the key over: that one's result counts. Call it again to have
    /// that.
    #[error("`{function}` ran past its lease, and another run has its key: that one's result counts")]
    Lost {
        /// The function's `name`.
        function: &'static str,
    },
    /// The body panicked. Its key is free; of what it did before, only a transaction is undone.
    #[error("`{function}` panicked; its key is free again")]
    Panicked {
        /// The function's `name`.
        function: &'static str,
    },
    /// The body's transaction did not end within its lease, and is undone. The key is free.
    #[error("the transaction of `{function}` did not end within its lease and was rolled back")]
    TimedOut {
        /// The function's `name`.
        function: &'static str,
    },
    /// The body's transaction is undone, because another was in its way or its connection was lost. The key is free.
    #[error("the transaction of `{function}` was rolled back: {error}")]
    RolledBack {
        /// The function's `name`.
        function: &'static str,
        /// Why.
        error: StoreError,
    },
    /// The body's transaction cannot be committed, and is undone. The key is free.
    #[error("the transaction of `{function}` cannot be committed and was rolled back: {error}")]
    Refused {
        /// The function's `name`.
        function: &'static str,
        /// Why.
        error: StoreError,
    },
    /// The answer to the commit of the body's transaction was lost, and it may have happened. Call it again to learn
    /// that.
    #[error("whether the transaction of `{function}` was committed is not known: {error}")]
    OutcomeUnknown {
        /// The function's `name`.
        function: &'static str,
        /// What the store said.
        error: StoreError,
    },
    /// The body ran before, and its result could not be recorded, because it was too large or not to be serialized.
    /// It does not run again.
    #[error("`{function}` was executed under this key before, and its result could not be recorded")]
    NotReplayable {
        /// The function's `name`.
        function: &'static str,
    },
    /// The body ran before, and what was recorded of it is not of this program's type. It does not run again.
    #[error(
        "`{function}` was executed under this key before, and its result is not one of this program's type ({reason}); let \
         the type read what older programs have recorded"
    )]
    Undecodable {
        /// The function's `name`.
        function: &'static str,
        /// What is wrong with it, without the result itself.
        reason: String,
    },
    /// The record of an earlier run is damaged. It is neither replayed nor run again, until it expires or an operator
    /// forgets it.
    #[error("the idempotency record of `{function}` is damaged: it is neither replayed nor run again")]
    Damaged {
        /// The function's `name`.
        function: &'static str,
    },
}

impl GuardError {
    /// The `name` of the function that was called.
    ///
    /// ```
    /// use cratestack_runtime::GuardError;
    ///
    /// assert_eq!(GuardError::InFlight { function: "charge" }.function(), "charge");
    /// ```
    pub fn function(&self) -> &'static str {
        match self {
            Self::InFlight { function }
            | Self::Conflict { function }
            | Self::KeyMissing { function }
            | Self::PrincipalMissing { function }
            | Self::StoreUnavailable { function, .. }
            | Self::Overloaded { function, .. }
            | Self::Lost { function }
            | Self::Panicked { function }
            | Self::TimedOut { function }
            | Self::RolledBack { function, .. }
            | Self::Refused { function, .. }
            | Self::OutcomeUnknown { function, .. }
            | Self::NotReplayable { function }
            | Self::Undecodable { function, .. }
            | Self::Damaged { function } => function,
        }
    }

    /// Whether the same call may fare better later. Where it may not, whoever makes it again gets the same error, and
    /// somebody has to look at it.
    ///
    /// A panic counts as one that may: the key is free, and the next run begins anew.
    ///
    /// ```
    /// use cratestack_runtime::GuardError;
    ///
    /// assert!(GuardError::InFlight { function: "charge" }.may_retry());
    /// assert!(!GuardError::Conflict { function: "charge" }.may_retry());
    /// ```
    pub fn may_retry(&self) -> bool {
        match self {
            Self::InFlight { .. }
            | Self::StoreUnavailable { .. }
            | Self::Overloaded { .. }
            | Self::Lost { .. }
            | Self::Panicked { .. }
            | Self::TimedOut { .. }
            | Self::RolledBack { .. }
            | Self::OutcomeUnknown { .. } => true,
            Self::Conflict { .. }
            | Self::KeyMissing { .. }
            | Self::PrincipalMissing { .. }
            | Self::Refused { .. }
            | Self::NotReplayable { .. }
            | Self::Undecodable { .. }
            | Self::Damaged { .. } => false,
        }
    }
}
