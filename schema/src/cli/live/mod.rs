//! The commands that connect to a database, or to servers of Valkey and Redis.

mod audit;
mod connection;
mod erasure;
mod headers;
mod principal;
mod record;
mod removal;
mod selection;
mod servers;
mod steps;
mod table;
mod view;

use std::process::ExitCode;

use crate::output::Failure;

pub use self::removal::Removals;
pub use self::table::{Check, Stats, Sweep};
pub use self::view::{List, Show};

pub fn run(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Nothing was selected.
const NOTHING: u8 = 1;
/// What was selected is not to be changed as it is.
const REFUSED: u8 = 3;
