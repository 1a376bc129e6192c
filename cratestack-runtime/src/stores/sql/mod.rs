//! What the SQL stores share. A store is then a folder of statements, one file for each operation.

mod batch_queue;
mod check;
mod error;
mod grant;
mod operation;
pub(crate) mod records;
mod renewal;
mod row;
mod text;
mod time;
mod transaction;

pub(crate) use batch_queue::BatchQueue;
pub(crate) use check::{check, lacking, refuse_foreign};
pub(crate) use error::{Cause, store_error};
pub(crate) use grant::Grant;
#[cfg(feature = "postgres")]
pub(crate) use operation::split_repeats;
pub(crate) use operation::{BatchError, Call, Operation, OwnedCompletion, OwnedStep, Pending, StepArgs};
pub(crate) use renewal::{Renewal, renew_in_time};
pub(crate) use row::{Row, attempt, in_table, recordable};
pub(crate) use text::{about, appended_step, dead, has_steps, inherited_steps, record, shared};
pub(crate) use time::{Tick, Times};
pub use transaction::OpenTransaction;
#[cfg(feature = "postgres")]
pub use transaction::SessionId;
pub(crate) use transaction::{SAVEPOINT, held, never_ended, store_database};
