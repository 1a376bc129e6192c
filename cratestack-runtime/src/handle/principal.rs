//! How a caller's name is spelled where it is stored. The spellings lie in tables and do not change.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::key_part::{KeyPart, digest};
use super::namespace::{MARK, MAX_PRINCIPAL_BYTES};
use crate::util::{ShortText, hex_of_digest};

/// A caller, as records bear its name; without a namespace, which the handle puts before it.
///
/// There is a constructor for each way in which a service says who its callers are.
///
/// ```
/// use cratestack_runtime::records::Principal;
///
/// // The default: whoever sends this `Authorization`.
/// let by_default = Principal::authorization("Bearer sk_test_123");
/// assert_eq!(by_default.as_str(), "622e64b2c22f425807dd4e58a766a477bf47edd1548967fa4fd37ec9ff36d2b1");
/// // `#[idempotent(principal = user.id)]`: a value of the same type, or of an integer type of another width.
/// let by_expression = Principal::part(&42_u64);
/// // `Idempotency::principal`: what that function returns.
/// let by_name = Principal::named("alice");
/// assert_eq!(by_name.as_str(), "alice");
/// # let _ = by_expression;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal(String);

impl Principal {
    /// A name as records bear it, such as [`RecordInfo::principal`](crate::records::RecordInfo::principal) without its
    /// namespace.
    pub fn stored(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Whoever sends this value of `Authorization`, where nothing else says who callers are.
    pub fn authorization(value: impl AsRef<[u8]>) -> Self {
        Self(holder_of(value.as_ref().trim_ascii()).to_string())
    }

    /// Whoever calls from this address without `Authorization`, where nothing else says who callers are.
    pub fn address(address: IpAddr) -> Self {
        Self(address.to_canonical().to_string())
    }

    /// Whom [`Idempotency::principal`](crate::Idempotency::principal) calls so.
    pub fn named(name: impl Into<String>) -> Self {
        Self(given(name.into()))
    }

    /// Whom the attribute's `principal = EXPR` comes to, given what the expression comes to: for several parts a tuple
    /// of them, as in the attribute.
    pub fn part(part: &(impl KeyPart + ?Sized)) -> Self {
        Self(of_expression(part))
    }

    /// The function itself: whom the calls of `#[idempotent(name = "…", …)]` belong to where the attribute says no
    /// `principal`.
    ///
    /// ```
    /// use cratestack_runtime::records::Principal;
    ///
    /// assert_eq!(Principal::function("charge").as_str(), "→function:charge");
    /// ```
    pub fn function(name: &str) -> Self {
        Self(of_function(name))
    }

    /// The name as records bear it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whoever holds an `Authorization` value. A hash, because the value is a credential and this is stored.
pub(crate) fn holder_of(authorization: &[u8]) -> ShortText {
    hex_of_digest(Sha256::digest(authorization).into())
}

/// A name that the service gives.
pub(crate) fn given(name: String) -> String {
    if name.contains(MARK) || looks_like_a_digest(&name) {
        format!("{MARK}{}", digest("given principal", &name))
    } else if name.len() > MAX_PRINCIPAL_BYTES || name.contains('\0') {
        // One database has no place for NUL.
        digest("long principal", &name)
    } else {
        name
    }
}

/// What an expression of the attribute comes to.
pub(crate) fn of_expression(part: &(impl KeyPart + ?Sized)) -> String {
    digest("principal", part)
}

/// What a function's calls belong to. A given name begins with the mark before a digest only, and one with a namespace
/// before it does not begin with it.
pub(crate) fn of_function(name: &str) -> String {
    format!("{MARK}function:{name}")
}

/// The key of one call of a function. A header cannot spell the mark, and the key that a handler's expression makes
/// begins with it.
pub(crate) fn function_key(name: &str, part: &(impl KeyPart + ?Sized)) -> String {
    format!("{name}{MARK}{}", digest("function key", part))
}

pub(crate) fn looks_like_a_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
