//! The attribute's options: `parse` → `given` → `values` → `duration`, `table`.

mod duration;
mod given;
mod parse;
mod table;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use given::Options;
pub(crate) use parse::parse;
#[cfg(test)]
pub(crate) use table::TABLE;
pub(crate) use table::{HAS_AXUM, HAS_TRANSACTIONS};
