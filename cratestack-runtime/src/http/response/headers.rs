//! The response headers of a record, as the bytes that a store keeps.
//!
//! The format is shared with services that are already out there: a little-endian `u32` count, then per field a `u32`
//! length, the name, a `u32` length and the value. Fields that describe one connection or one transmission instead of
//! the response are left out when writing and, since others write to the same table, again when reading: a row must not
//! be able to put a `Content-Length` or `Transfer-Encoding` of its choice in front of the body that follows it.

use std::collections::HashSet;

use http::header::{
    AGE, CONNECTION, CONTENT_LENGTH, DATE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What never belongs to a recorded response, beside what its own `Connection` field names.
pub(super) static NOT_STORED: [HeaderName; 13] = [
    // The server sets both when it sends, from the bytes and the clock of that moment; an age counts from `Date`
    // (RFC 9110, 6.6.1 and 8.6; RFC 9111, 5.1).
    CONTENT_LENGTH,
    DATE,
    AGE,
    // RFC 9110, 7.6.1: hop-by-hop, whether or not `Connection` names them.
    CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    // RFC 9110, 6.6.2: announces trailer fields, which a record does not have.
    TRAILER,
    // RFC 9110, 11.7: between a proxy and the next hop only. `WWW-Authenticate` is the origin's own, and is stored.
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
];

/// Why a header blob cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DamagedHeaders {
    Truncated,
    TrailingBytes,
    InvalidName,
    InvalidValue,
    /// More headers than a response can have.
    TooMany,
}

/// Writes response headers as the blob that a store keeps.
///
/// Order and repetition are kept. Left out are fields that say something about one connection or one transmission, not
/// about the response: `content-length`, `date`, `age`, the hop-by-hop fields (RFC 9110, 7.6.1), and every field that a
/// `connection` field names.
///
/// ```
/// use cratestack_runtime::{decode_headers, encode_headers};
/// use http::{HeaderMap, HeaderValue, header};
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::LOCATION, HeaderValue::from_static("/payments/7"));
/// headers.append(header::SET_COOKIE, HeaderValue::from_static("a=1"));
/// headers.append(header::SET_COOKIE, HeaderValue::from_static("b=2"));
/// let stored = headers.clone();
/// headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("2"));
///
/// assert_eq!(decode_headers(&encode_headers(&headers)), stored);
/// ```
pub fn encode_headers(headers: &HeaderMap) -> Vec<u8> {
    encode_headers_where(headers, |_| true)
}

/// [`encode_headers`] of those whose name `is_wanted`.
pub(crate) fn encode_headers_where(headers: &HeaderMap, is_wanted: impl Fn(&HeaderName) -> bool) -> Vec<u8> {
    let named = connection_options(headers.iter());
    let bytes = headers.iter().map(|(name, value)| 8 + name.as_str().len() + value.len()).sum::<usize>();
    let mut blob = Vec::with_capacity(4 + bytes);
    blob.extend_from_slice(&[0; 4]);
    let mut count: u32 = 0;
    for (name, value) in headers.iter().filter(|(name, _)| is_stored(name, &named) && is_wanted(name)) {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        // A value of 4 GiB has no spelling in this format; no server would send it either.
        let (Ok(name_len), Ok(value_len)) = (u32::try_from(name.len()), u32::try_from(value.len())) else { continue };
        let Some(next) = count.checked_add(1) else { break };
        count = next;
        blob.extend_from_slice(&name_len.to_le_bytes());
        blob.extend_from_slice(name);
        blob.extend_from_slice(&value_len.to_le_bytes());
        blob.extend_from_slice(value);
    }
    blob[..4].copy_from_slice(&count.to_le_bytes());
    blob
}

/// Reads what [`encode_headers`] wrote.
///
/// All or nothing: a damaged blob is an empty map, never the fields up to the damage, since half of a response's
/// headers can mean something else than all of them. Whatever the bytes, this neither panics nor allocates more than a
/// small multiple of their number, and the fields that `encode_headers` leaves out do not come out of here either.
///
/// ```
/// use cratestack_runtime::decode_headers;
///
/// let mut blob = b"\x01\0\0\0\x04\0\0\0etag\x03\0\0\0\"7\"".to_vec();
/// assert_eq!(decode_headers(&blob)["etag"], "\"7\"");
///
/// blob.pop();
/// assert!(decode_headers(&blob).is_empty());
/// ```
pub fn decode_headers(blob: &[u8]) -> HeaderMap {
    try_decode(blob).unwrap_or_default()
}

/// [`decode_headers`] for those who must know whether the blob was whole. No bytes at all are no headers.
pub(crate) fn try_decode(blob: &[u8]) -> Result<HeaderMap, DamagedHeaders> {
    if blob.is_empty() {
        return Ok(HeaderMap::new());
    }
    let mut rest = blob;
    let count = take_u32(&mut rest)?;
    // Grows as fields are read, never by the announced count: each field has taken its bytes from the blob before.
    let mut fields = Vec::new();
    for _ in 0..count {
        let name = take_prefixed(&mut rest)?;
        let value = take_prefixed(&mut rest)?;
        let name = HeaderName::from_bytes(name).map_err(|_| DamagedHeaders::InvalidName)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| DamagedHeaders::InvalidValue)?;
        fields.push((name, value));
    }
    if !rest.is_empty() {
        return Err(DamagedHeaders::TrailingBytes);
    }
    let named = connection_options(fields.iter().map(|(name, value)| (name, value)));
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        if is_stored(&name, &named) {
            headers.try_append(name, value).map_err(|_| DamagedHeaders::TooMany)?;
        }
    }
    Ok(headers)
}

fn is_stored(name: &HeaderName, named_by_connection: &HashSet<HeaderName>) -> bool {
    !NOT_STORED.contains(name) && !named_by_connection.contains(name)
}

/// RFC 9110, 7.6.1: a field that `Connection` names is for this connection. Options that are no field name, such as a
/// misspelt one, cannot name a field.
fn connection_options<'a>(fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> HashSet<HeaderName> {
    fields
        .filter(|(name, _)| *name == CONNECTION)
        .flat_map(|(_, value)| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
        .collect()
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, DamagedHeaders> {
    let (bytes, left) = rest.split_first_chunk().ok_or(DamagedHeaders::Truncated)?;
    *rest = left;
    Ok(u32::from_le_bytes(*bytes))
}

fn take_prefixed<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DamagedHeaders> {
    let len = usize::try_from(take_u32(rest)?).map_err(|_| DamagedHeaders::Truncated)?;
    let (bytes, left) = rest.split_at_checked(len).ok_or(DamagedHeaders::Truncated)?;
    *rest = left;
    Ok(bytes)
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
