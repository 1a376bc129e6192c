//! What a client is answered, and what is recorded of it.
//!
//! `capture` reads what a handler returned, `headers` makes a blob of its headers without those that are `omitted`, and
//! `replay` turns a record back into a response; with `unrecorded` a response says that there is nothing to keep.
//! `problem` is every answer of the guard's own, as the `problem_details` that it is sent as.

mod capture;
mod headers;
mod omitted;
mod problem;
mod problem_details;
mod replay;
mod unrecorded;

pub(crate) use capture::{Captured, capture, harmless};
pub use headers::{decode_headers, encode_headers};
pub(crate) use omitted::OmittedHeaders;
pub(crate) use problem::Problem;
pub(crate) use problem_details::valid_documentation;
pub(crate) use replay::{Damaged, replay, tombstone, unmark};
pub use unrecorded::Unrecorded;
