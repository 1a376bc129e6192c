//! A key that is had by a transaction, which the work writes in and which records the outcome: all of it is committed,
//! or nothing.
//!
//! ```text
//! engine                        work                    store
//! begins ────────────────────────────────────────────▶  the transaction has the key, as long as it lives
//! hands it over ──────────────▶ writes in it ─────────▶
//! has it back, the work ended
//!   panic, out of time ──────────────────────────────▶  rolled back; the key is free
//!   in another one's way ────────────────────────────▶  rolled back; the key is free until the next run begins
//!   else ────────────────────────────────────────────▶  record and commit                                     see `commit`
//! the work keeps it, or blocks its thread
//!   terminates its session ──────────────────────────▶  rolled back from outside, where the database can
//! ```
//!
//! The turn and the place among those that run are kept from the first run to the last: duplicates in this process see
//! one run, however often it is begun anew. A duplicate at another process may have the key between two runs.
//!
//! `acquire` begins a transaction that has the key, `slot` gives it to the work and has it back, `commit` ends it and
//! finds out what became of it. `erased` is the mode to a door that does not name the store. `step` is no mode: a leased
//! run has a transaction for one of its steps.

mod acquire;
mod commit;
pub(super) mod erased;
mod run;
pub(super) mod slot;
pub(super) mod step;
