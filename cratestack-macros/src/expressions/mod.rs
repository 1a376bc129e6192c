//! The attribute's expressions, `key`, `principal` and `fingerprint`: `check`, and `evaluate` → `pattern`.

mod check;
mod evaluate;
mod pattern;

pub(crate) use check::check;
pub(crate) use evaluate::{Evaluation, evaluate};
