//! The HTTP door: from a request to a claim, and from what became of it to a response.

mod extract;
mod guard;
pub(crate) mod identity;
mod response;

pub use extract::{Guarded, Via};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use extract::{TakesTx, Transacted, ViaTx};
pub use guard::{Attempts, Call, Work};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use guard::{Cause, InStore};
pub use identity::hash_request;
pub(crate) use response::{OmittedHeaders, Problem, valid_documentation};
pub use response::{Unrecorded, decode_headers, encode_headers};
