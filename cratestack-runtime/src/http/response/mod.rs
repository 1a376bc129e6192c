//! From what a handler returned to a record, and back; and every answer that is not a handler's.

mod capture;
mod headers;
mod omitted;
mod problem;
mod replay;
mod unrecorded;

pub(crate) use capture::{Captured, capture, harmless};
pub use headers::{decode_headers, encode_headers};
pub(crate) use omitted::OmittedHeaders;
pub(crate) use problem::{Problem, valid_documentation};
pub(crate) use replay::{Damaged, replay, tombstone, unmark};
pub use unrecorded::Unrecorded;
