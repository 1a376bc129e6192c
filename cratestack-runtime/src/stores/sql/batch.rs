//! What the batches of the SQL stores have in common: what a call says while it waits, and why a statement for many has
//! no answers.

use bytes::Bytes;
use uuid::Uuid;

use crate::store::{Completion, StoreError};
use crate::stores::batch::{Operation, Pending};

/// What a [`Completion`] says besides its names, while it waits.
#[derive(Debug)]
pub(crate) struct OwnedCompletion {
    pub(crate) token: Uuid,
    pub(crate) status: u16,
    pub(crate) headers: Box<[u8]>,
    pub(crate) body: Bytes,
}

impl From<Completion<'_>> for OwnedCompletion {
    fn from(completion: Completion<'_>) -> Self {
        let Completion { token, status, headers, body, .. } = completion;
        Self { token, status, headers: headers.into(), body: body.clone() }
    }
}

/// A step that is to be appended to those of its run, as the row has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepArgs<'a> {
    pub(crate) token: Uuid,
    pub(crate) entry: &'a [u8],
}

/// The same, for a call that waits.
#[derive(Debug)]
pub(crate) struct OwnedStep {
    pub(crate) token: Uuid,
    pub(crate) entry: Box<[u8]>,
}

impl From<StepArgs<'_>> for OwnedStep {
    fn from(StepArgs { token, entry }: StepArgs<'_>) -> Self {
        Self { token, entry: entry.into() }
    }
}

/// Why a batch has no answers.
#[derive(Debug)]
pub(crate) enum BatchError {
    /// Nothing has happened, and one call may be to blame.
    Divisible,
    /// Nothing has happened, and each call alone would fare no better.
    #[cfg(feature = "sqlite")]
    Undone(StoreError),
    /// What has happened is not known.
    Unknown(StoreError),
}

impl BatchError {
    /// Gives every call of the batch its answer.
    pub(crate) fn answer_all<O: Operation>(&self, batch: Vec<Pending<O>>) {
        for pending in batch {
            match self {
                Self::Divisible => pending.let_run_one(),
                #[cfg(feature = "sqlite")]
                Self::Undone(error) => pending.answer(Err(error.clone())),
                Self::Unknown(error) => pending.answer(Err(error.clone())),
            }
        }
    }
}
