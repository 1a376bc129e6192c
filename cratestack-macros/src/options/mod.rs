//! The attribute's options: `parse` → `conflicts` → `given` → `values` → `duration`, `nearest`, `table`.

mod conflicts;
mod duration;
mod given;
mod nearest;
mod parse;
mod table;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use given::Options;
pub(crate) use parse::parse;
pub(crate) use table::HAS_TRANSACTIONS;
#[cfg(test)]
pub(crate) use table::TABLE;
