//! The modes: how a key is had, and how the outcome of the work is written under it.
//!
//! A mode implements [`Mode`](super::life::Mode), which is what the life of a piece of work asks of it. It is a folder
//! here, and nothing else of the engine changes.

mod leased;
mod transactional;

pub(crate) use leased::Leased;
pub(crate) use transactional::erased::{AttemptFuture, Participant, StoreParticipant, TransactionalRun};
pub(crate) use transactional::slot::TransactionSlot;
pub(crate) use transactional::step::StepTransaction;
