//! The protocol: have the key, run the work, write its outcome down or give the key back.
//!
//! A door brings a claim on a key and the work that the key protects, chooses a mode, and is answered what became of
//! it. The engine sees the store only through its trait. It does not know what a reply looks like to whoever gets it:
//! the work says that itself, in a [`Settled`].
//!
//! ```text
//! life                    one piece of work from its claim to its answer, the same in every mode; the replay cache is met here
//! ├─ local/               what one process knows of its keys
//! │    single_flight      of all who ask for one key at a time, one asks the store
//! │    watching             and one waits for news of a run elsewhere
//! │    keys               which key is in whose hands here
//! │    replay_cache       the outcomes that were seen here
//! └─ mode/                how a key is had and an outcome written
//!      leased             a reservation, renewed while the work runs; the outcome in a write of its own
//!      transactional      a transaction that has the key, records the outcome and commits it with what the work wrote
//! lease/                  keeps reservations alive: the one place that renews, and the thread that does so for all
//! steps                   what a run has done, so that its next attempt does not do it again
//! retry                   what must reach the store is sent until it is answered
//! limits · task_tracker   how much may be under way, and what a shutdown waits for
//! sweep                   deletes what has expired
//! model                   the words that all of these share
//! ```

mod lease;
mod life;
mod limits;
mod local;
mod mode;
mod model;
mod retry;
mod steps;
mod store_call;
mod sweep;
mod task_tracker;

pub(crate) use life::{Answering, Engine};
pub(crate) use mode::{
    AttemptFuture, Leased, Participant, StepTransaction, StoreParticipant, TransactionSlot, TransactionalRun,
};
pub(crate) use model::{
    Answer, Disposition, Failure, Hold, Limit, Outcome, OwnedClaim, Policy, Settled, TransactionOptions, Transition,
};
pub use steps::StepError;
pub(crate) use steps::{RunSteps, refuse_within_transaction};
pub use sweep::Sweeper;
pub(crate) use sweep::sweep;
