//! The response headers of a record, as the bytes that a store keeps.
//!
//! The format is shared with services that are already out there: a little-endian `u32` count, then per field a `u32`
//! length, the name, a `u32` length and the value. Fields that describe one connection or one transmission instead of
//! the response are left out when writing and, since others write to the same table, again when reading: a row must not
//! be able to put a `Content-Length` or `Transfer-Encoding` of its choice in front of the body that follows it.

use std::collections::HashSet;

use ::http::header::{
    AGE, CONNECTION, CONTENT_LENGTH, DATE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use ::http::{HeaderMap, HeaderName, HeaderValue};

/// What never belongs to a recorded response, beside what its own `Connection` field names.
static NOT_STORED: [HeaderName; 13] = [
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DamagedHeaders {
    #[error("the header blob ends early")]
    Truncated,
    #[error("the header blob goes on after its last header")]
    TrailingBytes,
    #[error("the header blob holds an invalid header name")]
    InvalidName,
    #[error("the header blob holds an invalid header value")]
    InvalidValue,
    #[error("the header blob holds more headers than a response can have")]
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
mod tests {
    use ::http::header::{CONTENT_TYPE, ETAG, LOCATION, SET_COOKIE};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |&(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            map.append(name, value);
        }
        map
    }

    fn blob(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut blob = u32::try_from(fields.len()).unwrap().to_le_bytes().to_vec();
        for (name, value) in fields {
            for bytes in [name, value] {
                blob.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
                blob.extend(*bytes);
            }
        }
        blob
    }

    #[test]
    fn the_format_is_pinned() {
        let headers = map(&[("content-type", "a/b"), ("etag", "\"7\"")]);
        let bytes = b"\x02\0\0\0\x0c\0\0\0content-type\x03\0\0\0a/b\x04\0\0\0etag\x03\0\0\0\"7\"";
        assert_eq!(encode_headers(&headers), bytes);
        assert_eq!(try_decode(bytes), Ok(headers));
        assert_eq!(encode_headers(&HeaderMap::new()), [0; 4]);
    }

    #[test]
    fn no_bytes_and_no_fields_are_no_headers() {
        assert_eq!(try_decode(&[]), Ok(HeaderMap::new()));
        assert_eq!(try_decode(&[0; 4]), Ok(HeaderMap::new()));
    }

    #[test]
    fn order_and_repetition_are_kept() {
        let headers = map(&[("set-cookie", "a=1"), ("etag", "x"), ("set-cookie", "b=2"), ("location", "/7")]);
        let decoded = try_decode(&encode_headers(&headers)).unwrap();
        let cookies: Vec<_> = decoded.get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        assert_eq!(decoded.keys().collect::<Vec<_>>(), [SET_COOKIE, ETAG, LOCATION]);
    }

    #[test]
    fn opaque_and_empty_values_are_kept() {
        let mut headers = HeaderMap::new();
        headers.insert("x-latin", HeaderValue::from_bytes(b"caf\xe9\tnoir").unwrap());
        headers.insert("x-empty", HeaderValue::from_static(""));
        assert_eq!(try_decode(&encode_headers(&headers)), Ok(headers));
    }

    #[test]
    fn fields_of_one_transmission_are_neither_written_nor_read() {
        for name in &NOT_STORED {
            let headers = map(&[(name.as_str(), "7"), ("etag", "x")]);
            assert_eq!(try_decode(&encode_headers(&headers)), Ok(map(&[("etag", "x")])), "{name}");

            let upper = name.as_str().to_ascii_uppercase();
            for name in [name.as_str(), &upper] {
                let foreign = blob(&[(name.as_bytes(), b"7"), (b"etag", b"x")]);
                assert_eq!(decode_headers(&foreign), map(&[("etag", "x")]), "{name}");
            }
        }
    }

    #[test]
    fn fields_that_connection_names_are_neither_written_nor_read() {
        let headers = map(&[
            ("x-hop", "1"),
            ("x-hop", "2"),
            ("x-end", "3"),
            ("x-late", "4"),
            ("connection", "close,X-Hop"),
            ("connection", "\t,, not a name , x-late "),
        ]);
        assert_eq!(try_decode(&encode_headers(&headers)), Ok(map(&[("x-end", "3")])));

        let foreign = blob(&[(b"x-hop", b"1"), (b"Connection", b"x-hop"), (b"x-end", b"3")]);
        assert_eq!(decode_headers(&foreign), map(&[("x-end", "3")]));
    }

    #[test]
    fn damage_is_all_or_nothing() {
        let whole = encode_headers(&map(&[("content-type", "a/b"), ("etag", "x")]));
        for end in 1..whole.len() {
            assert_eq!(try_decode(&whole[..end]), Err(DamagedHeaders::Truncated), "{end}");
            assert!(decode_headers(&whole[..end]).is_empty());
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(try_decode(&longer), Err(DamagedHeaders::TrailingBytes));

        let mut fewer = whole.clone();
        fewer[0] = 1;
        assert_eq!(try_decode(&fewer), Err(DamagedHeaders::TrailingBytes));
        let mut more = whole;
        more[0] = 3;
        assert_eq!(try_decode(&more), Err(DamagedHeaders::Truncated));

        for name in [&b""[..], b"a b", b"a:", b":status", b"a\r\nb", b"\xff"] {
            assert_eq!(try_decode(&blob(&[(b"etag", b"x"), (name, b"y")])), Err(DamagedHeaders::InvalidName));
        }
        for value in [&b"a\r\nset-cookie: b"[..], b"a\n", b"\0", b"\x7f"] {
            assert_eq!(try_decode(&blob(&[(b"etag", b"x"), (b"a", value)])), Err(DamagedHeaders::InvalidValue));
        }
    }

    #[test]
    fn announced_sizes_are_not_believed() {
        assert_eq!(try_decode(&[0xff; 4]), Err(DamagedHeaders::Truncated));
        assert_eq!(try_decode(&[0xff; 64]), Err(DamagedHeaders::Truncated));
        let huge_name = [&1_u32.to_le_bytes()[..], &u32::MAX.to_le_bytes(), b"etag"].concat();
        assert_eq!(try_decode(&huge_name), Err(DamagedHeaders::Truncated));
    }

    #[test]
    fn more_names_than_a_map_can_hold_are_damage() {
        let names: Vec<_> = (0..40_000).map(|n| format!("x{n}")).collect();
        let fields: Vec<_> = names.iter().map(|name| (name.as_bytes(), &b""[..])).collect();
        assert_eq!(try_decode(&blob(&fields)), Err(DamagedHeaders::TooMany));
    }

    fn any_headers() -> impl Strategy<Value = HeaderMap> {
        let stored = NOT_STORED.iter().map(ToString::to_string).collect::<Vec<_>>();
        let name = prop_oneof![
            4 => "[a-z0-9!#$%&'*+.^_`|~-]{1,12}",
            4 => prop::sample::select(vec![SET_COOKIE, CONTENT_TYPE, ETAG]).prop_map(|name| name.to_string()),
            1 => prop::sample::select(stored),
        ];
        let value = prop_oneof![
            Just(b"close, etag".to_vec()),
            vec(prop_oneof![8 => b' '..=b'~', 1 => Just(b'\t'), 1 => 0x80..=0xff_u8], 0..24),
        ];
        vec((name, value), 0..24).prop_map(|fields| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(&value).unwrap());
            }
            headers
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_headers_or_damage(bytes: Vec<u8>) {
            prop_assert_eq!(try_decode(&bytes).unwrap_or_default(), decode_headers(&bytes));
        }

        #[test]
        fn any_headers_come_back_without_the_dropped(headers in any_headers()) {
            let named = connection_options(headers.iter());
            let expected: Vec<_> = headers.iter().filter(|(name, _)| is_stored(name, &named)).collect();
            let decoded = try_decode(&encode_headers(&headers)).unwrap();
            prop_assert_eq!(decoded.iter().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn a_flipped_byte_injects_nothing(headers in any_headers(), at: prop::sample::Index, byte: u8) {
            let mut bytes = encode_headers(&headers);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            for (name, value) in &decode_headers(&bytes) {
                prop_assert!(!NOT_STORED.contains(name));
                prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
        }
    }
}
