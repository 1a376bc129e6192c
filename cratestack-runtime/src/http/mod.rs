//! The HTTP side: from a request to a claim, and from what became of it to a response.
//!
//! `key` reads the header, `request` buffers and fingerprints, `guard` drives the engine and answers, `capture` turns a
//! response into a record and `replay` turns it back, `problem` is every error that a client can see. `handle` is
//! [`Idempotency`](crate::Idempotency), where a service sets what applies to all its handlers.

mod capture;
mod fingerprint;
mod guard;
mod handle;
mod headers;
mod key;
mod problem;
mod replay;
mod request;

pub use fingerprint::hash_request;
pub use guard::{Call, Options, Work};
pub use handle::Idempotency;
pub use headers::{decode_headers, encode_headers};
