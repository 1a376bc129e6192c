//! What a client is answered, and what is recorded of it.
//!
//! `capture` reads what a handler returned, `headers` makes a blob of its headers without those that are `omitted`, and
//! `replay` turns a record back into a response, with the library's `marks`; with `unrecorded` a response says that
//! there is nothing to keep.
//!
//! `problem_kind` lists every answer of the guard's own. As a `problem` a service sees it, and `shape`s it as it likes.
//! By default it goes out as `problem_details` or as a `problem_page`, by what the request would `accept`, with a link to
//! the service's `documentation`.

mod accept;
mod capture;
mod documentation;
mod headers;
mod marks;
mod omitted;
mod problem;
mod problem_details;
mod problem_kind;
mod problem_page;
mod replay;
mod shape;
mod unrecorded;

pub(crate) use accept::Representation;
pub(crate) use capture::{Captured, capture, harmless};
pub(crate) use documentation::valid_documentation;
pub use headers::{decode_headers, encode_headers};
pub(crate) use marks::Marks;
pub(crate) use omitted::OmittedHeaders;
pub use problem::Problem;
pub(crate) use problem_kind::ProblemKind;
pub(crate) use replay::{Damaged, Replayed, replay, tombstone};
pub(crate) use shape::{Shape, shaped};
pub use unrecorded::Unrecorded;
