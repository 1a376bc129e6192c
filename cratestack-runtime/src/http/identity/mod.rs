//! What a request is known by: its key, its caller, its fingerprint.

mod fingerprint;
pub(crate) mod key;
pub(crate) mod principal;
pub(crate) mod request;
mod tapped_body;

pub use fingerprint::hash_request;
pub(crate) use fingerprint::{ShortHash, hex, short_hash};
pub(crate) use key::KeyError;
pub(crate) use tapped_body::BodyTap;
