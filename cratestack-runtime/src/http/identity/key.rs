//! The `Idempotency-Key` request header (draft-ietf-httpapi-idempotency-key-header-07, 2.1).
//!
//! The draft makes it an RFC 8941 Item that is a String. Most clients send the bare value instead, so that is a second
//! spelling of the same key: `"8e03978e"` and `8e03978e` name one record. A value that opens with `"` is only ever read
//! as a String, and a bare key cannot hold `"`, so no value has two readings.

use http::{HeaderMap, HeaderName};

use super::key_error::{KeyError, MAX_KEY_CHARS};
use super::structured_field::Input;
use crate::util::ShortText;

/// The header that carries the key.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Reads the key from a request's headers; `None` is a request without one.
///
/// # Errors
///
/// Whatever is there but is not exactly one key. A broken key is never taken for a missing one: the client asked for
/// protection that it would not get.
pub(crate) fn parse(headers: &HeaderMap) -> Result<Option<ShortText>, KeyError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // RFC 9110, 5.3: two field lines are one comma-separated value, and an Item is never a list.
    if values.next().is_some() {
        return Err(KeyError::Repeated);
    }
    parse_value(value.as_bytes()).map(Some)
}

fn parse_value(value: &[u8]) -> Result<ShortText, KeyError> {
    let value = trim_ows(value);
    // Before the grammar, so that the answer names the character instead of the production that it broke.
    if !value.is_ascii() {
        return Err(KeyError::NotAscii);
    }
    if value.iter().any(u8::is_ascii_control) {
        return Err(KeyError::ControlCharacter);
    }
    let key = match value.strip_prefix(b"\"") {
        Some(rest) => quoted(rest)?,
        None => bare(value)?,
    };
    if key.bytes().all(|byte| byte == b' ') {
        return Err(KeyError::Empty);
    }
    // Only ASCII is left, where a byte is a character.
    if key.len() > MAX_KEY_CHARS {
        return Err(KeyError::TooLong);
    }
    Ok(key)
}

/// RFC 9110, 5.5: whitespace around a field value is not part of it. HTTP/1.1 parsers have trimmed it; HTTP/2 may not.
fn trim_ows(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn bare(value: &[u8]) -> Result<ShortText, KeyError> {
    for byte in value {
        match byte {
            b',' => return Err(KeyError::List),
            b' ' | b'"' | b';' | b'\\' => return Err(KeyError::NeedsQuotes),
            _ => {}
        }
    }
    // It is ASCII.
    str::from_utf8(value).map(ShortText::from).map_err(|_| KeyError::NotAscii)
}

/// An Item from after its opening quote to the end of the field.
fn quoted(value: &[u8]) -> Result<ShortText, KeyError> {
    let mut input = Input::new(value);
    let key = input.string_after_quote()?;
    // RFC 8941, 4.2.3: parameters start right at the item, without a space before their semicolon.
    let has_parameters = input.rest().first() == Some(&b';');
    input.parameters().ok_or(KeyError::BadParameters)?;
    match trim_ows(input.rest()).first() {
        None => Ok(key.into()),
        Some(b',') => Err(KeyError::List),
        Some(b';') => Err(KeyError::BadParameters),
        Some(_) if has_parameters => Err(KeyError::BadParameters),
        Some(_) => Err(KeyError::TrailingCharacters),
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
