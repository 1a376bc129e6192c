use http::header::{CONTENT_TYPE, ETAG, LOCATION, SET_COOKIE};
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
