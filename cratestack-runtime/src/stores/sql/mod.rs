//! What the SQL stores share. A store is then a folder of statements, one file for each operation.

mod batch;
mod check;
mod error;
pub(crate) mod records;
mod row;
mod text;
mod transaction;

pub(crate) use batch::{BatchError, OwnedCompletion, OwnedStep, StepArgs};
pub(crate) use check::{check, lacking, refuse_foreign};
pub(crate) use error::{Cause, store_error};
pub(crate) use row::{Row, attempt, in_table};
pub(crate) use text::{about, appended_step, dead, has_steps, inherited_steps, record, shared};
pub use transaction::OpenTransaction;
#[cfg(feature = "postgres")]
pub use transaction::SessionId;
pub(crate) use transaction::{SAVEPOINT, held, never_ended, store_database};
