//! The bank (`src/bin/bank`) as processes that can be killed, what its books say, and what it reports of each run: what
//! the harnesses share that kill it, or the way to its database.

mod bank;
mod books;
mod ledger;
mod provider;
mod rng;

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

pub use self::{
    bank::{Bank, Setup},
    books::{ACCOUNTS, BALANCE, Books, Recorded},
    ledger::{Entry, Ledger, Run, Stage, StepEntry},
    provider::{Charge, Provider},
    rng::Rng,
};

/// A number from the environment.
///
/// # Panics
/// When it is none.
pub fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, and is {value:?}")))
}

/// `SEED`, or another one at each call; short, so that it is easy to pass on.
///
/// # Panics
/// When `SEED` is no number.
pub fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_micros());
    setting("SEED").unwrap_or(now.into())
}
