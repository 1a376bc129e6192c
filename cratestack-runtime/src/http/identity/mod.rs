//! What a request is known by: its key, its caller, its fingerprint.
//!
//! [`RequestIdentity`] has all three. `key` reads the header, whose syntax `structured_field` knows; `principal` tells
//! who the caller is; `fingerprint` says what a request looks like, and `tapped_body` hashes its body as it is read,
//! within its `body_limit`.

mod body_limit;
mod fingerprint;
mod key;
mod key_error;
mod principal;
mod request_identity;
mod structured_field;
mod tapped_body;

pub(crate) use body_limit::{BodyBound, tapped};
pub(crate) use fingerprint::RequestHasher;
pub use fingerprint::hash_request;
pub(crate) use key::parse as parse_key;
pub(crate) use key_error::KeyError;
pub(crate) use principal::Identify;
pub(crate) use request_identity::{RequestIdentity, key_below, key_of};
pub(crate) use tapped_body::{BodyError, BodyPlace, BodySlot, BodyTap};
