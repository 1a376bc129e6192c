//! The `Idempotency-Key` request header (draft-ietf-httpapi-idempotency-key-header-07, 2.1).
//!
//! The draft makes it an RFC 8941 Item that is a String. Most clients send the bare value instead, so that is a second
//! spelling of the same key: `"8e03978e"` and `8e03978e` name one record. A value that opens with `"` is only ever read
//! as a String, and a bare key cannot hold `"`, so no value has two readings.

use ::http::{HeaderMap, HeaderName};

/// The header that carries the key.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The most characters that a key may have, counted after unescaping so that both spellings have the same bound.
pub(crate) const MAX_KEY_CHARS: usize = 255;

/// Why a key was refused.
///
/// The texts go to the client, who must learn the fix from them. None of them repeats the value: a key is the client's
/// secret as much as it is its name, and an answer may end up in someone's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("The Idempotency-Key header was sent more than once. Send it once, with one key.")]
    Repeated,
    #[error(
        "The Idempotency-Key header is empty or blank. Send a key that is unique to this request, such as a random \
         UUID."
    )]
    Empty,
    #[error(
        "The idempotency key is longer than {} characters. Send a shorter one, such as a random UUID.",
        MAX_KEY_CHARS
    )]
    TooLong,
    #[error(
        "The Idempotency-Key header holds characters outside ASCII. Send a key of printable ASCII characters only."
    )]
    NotAscii,
    #[error(
        "The Idempotency-Key header holds a control character, such as a tab. Send a key of printable ASCII characters \
         only."
    )]
    ControlCharacter,
    #[error(
        "The Idempotency-Key header holds a comma outside a quoted key, which makes it a list. Send exactly one key."
    )]
    List,
    #[error("The quoted key in the Idempotency-Key header does not end. Close it with a double quote.")]
    Unterminated,
    #[error(
        "The quoted key in the Idempotency-Key header has a backslash before something other than a double quote or a \
         backslash. Only these two can be escaped; write everything else as it is."
    )]
    BadEscape,
    #[error(
        "Something follows the quoted key in the Idempotency-Key header. Send nothing after its closing double quote."
    )]
    TrailingCharacters,
    #[error(
        "The parameters after the key in the Idempotency-Key header are not well-formed (RFC 8941, 3.1.2). Leave them \
         out: none of them has a meaning."
    )]
    BadParameters,
    #[error(
        "The unquoted key in the Idempotency-Key header holds a space, a double quote, a semicolon or a backslash. Put \
         the key in double quotes, with a backslash before each double quote and backslash in it."
    )]
    NeedsQuotes,
}

/// Reads the key from a request's headers; `None` is a request without one.
///
/// # Errors
///
/// Whatever is there but is not exactly one key. A broken key is never taken for a missing one: the client asked for
/// protection that it would not get.
pub(crate) fn parse(headers: &HeaderMap) -> Result<Option<String>, KeyError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // RFC 9110, 5.3: two field lines are one comma-separated value, and an Item is never a list.
    if values.next().is_some() {
        return Err(KeyError::Repeated);
    }
    parse_value(value.as_bytes()).map(Some)
}

fn parse_value(value: &[u8]) -> Result<String, KeyError> {
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

fn bare(value: &[u8]) -> Result<String, KeyError> {
    for byte in value {
        match byte {
            b',' => return Err(KeyError::List),
            b' ' | b'"' | b';' | b'\\' => return Err(KeyError::NeedsQuotes),
            _ => {}
        }
    }
    Ok(value.iter().copied().map(char::from).collect())
}

/// An Item from after its opening quote to the end of the field.
fn quoted(value: &[u8]) -> Result<String, KeyError> {
    let mut input = Input(value);
    let key = input.string_after_quote()?;
    // RFC 8941, 4.2.3: parameters start right at the item, without a space before their semicolon.
    let has_parameters = input.0.first() == Some(&b';');
    input.parameters().ok_or(KeyError::BadParameters)?;
    match trim_ows(input.0).first() {
        None => Ok(key),
        Some(b',') => Err(KeyError::List),
        Some(b';') => Err(KeyError::BadParameters),
        Some(_) if has_parameters => Err(KeyError::BadParameters),
        Some(_) => Err(KeyError::TrailingCharacters),
    }
}

/// What is left to read. The methods are the parsing algorithms of RFC 8941, 4.2 and, for the two types that it added,
/// RFC 9651, 4.2; `None` is their "fail parsing".
///
/// The values of parameters are checked and dropped: a field that defines no parameters ignores them, but only if they
/// are parameters (RFC 8941, 4.2: a field parses whole or not at all).
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0.strip_prefix(&[byte]) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !accept(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// RFC 8941, 4.2.5. The caller has refused control characters and everything that is not ASCII.
    fn string_after_quote(&mut self) -> Result<String, KeyError> {
        let mut string = String::new();
        loop {
            match self.next().ok_or(KeyError::Unterminated)? {
                b'"' => return Ok(string),
                b'\\' => match self.next().ok_or(KeyError::Unterminated)? {
                    escaped @ (b'"' | b'\\') => string.push(char::from(escaped)),
                    _ => return Err(KeyError::BadEscape),
                },
                byte => string.push(char::from(byte)),
            }
        }
    }

    /// RFC 8941, 4.2.3.2.
    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.take_while(|byte| byte == b' ');
            self.parameter_name()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// RFC 8941, 4.2.3.3.
    fn parameter_name(&mut self) -> Option<()> {
        if !matches!(self.next()?, b'a'..=b'z' | b'*') {
            return None;
        }
        self.take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
        Some(())
    }

    /// RFC 9651, 4.2.3.1.
    fn bare_item(&mut self) -> Option<()> {
        match *self.0.first()? {
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            b'"' => {
                self.next();
                self.string_after_quote().ok().map(|_| ())
            }
            b':' => {
                self.next();
                self.byte_sequence_after_colon()
            }
            b'?' => {
                self.next();
                matches!(self.next()?, b'0' | b'1').then_some(())
            }
            b'@' => {
                self.next();
                // A Date is whole seconds.
                matches!(self.number()?, Number::Integer).then_some(())
            }
            b'%' => {
                self.next();
                self.display_string_after_percent()
            }
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take_while(is_token_character);
                Some(())
            }
            _ => None,
        }
    }

    /// RFC 8941, 4.2.4: up to 15 digits, or up to 12 digits, a point and one to three digits.
    fn number(&mut self) -> Option<Number> {
        self.eat(b'-');
        let whole = self.take_while(|byte| byte.is_ascii_digit()).len();
        if !self.eat(b'.') {
            return matches!(whole, 1..=15).then_some(Number::Integer);
        }
        let fraction = self.take_while(|byte| byte.is_ascii_digit()).len();
        (matches!(whole, 1..=12) && matches!(fraction, 1..=3)).then_some(Number::Decimal)
    }

    /// RFC 8941, 4.2.7: padding may be left out, as not every base64 decoder can insist on it; if it is there, it is
    /// right.
    fn byte_sequence_after_colon(&mut self) -> Option<()> {
        let digits = self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')).len();
        let padding = self.take_while(|byte| byte == b'=').len();
        let closed = self.eat(b':');
        let padded = matches!((digits % 4, padding), (0 | 2 | 3, 0) | (2, 2) | (3, 1));
        (closed && padded).then_some(())
    }

    /// RFC 9651, 4.2.10.
    fn display_string_after_percent(&mut self) -> Option<()> {
        if !self.eat(b'"') {
            return None;
        }
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return std::str::from_utf8(&text).is_ok().then_some(()),
                b'%' => text.push(lower_hex_digit(self.next()?)? << 4 | lower_hex_digit(self.next()?)?),
                byte => text.push(byte),
            }
        }
    }
}

enum Number {
    Integer,
    Decimal,
}

/// RFC 9110, 5.6.2 `tchar`, and the two more that RFC 8941, 3.3.4 allows inside a Token.
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}

/// RFC 9651, 4.2.10: upper-case digits fail parsing.
fn lower_hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn serialise(key: &str) -> String {
        format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
    }

    #[test]
    fn no_header_is_no_key() {
        assert_eq!(parse(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn keys_that_are_accepted() {
        let longest = "k".repeat(255);
        let longest_quoted = serialise(&longest);
        let backslashes = "\\".repeat(255);
        // 255 characters once unescaped, 512 on the wire.
        let longest_escaped = serialise(&backslashes);
        let cases: &[(&str, &str)] = &[
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("k", "k"),
            ("\"k\"", "k"),
            ("  k  ", "k"),
            ("\t\"k\" \t", "k"),
            ("\" k \"", " k "),
            ("\"a b\"", "a b"),
            ("\"a,b;c\"", "a,b;c"),
            (r#""say \"hi\"""#, r#"say "hi""#),
            (r#""back\\slash""#, r"back\slash"),
            (r#""\\\"""#, r#"\""#),
            // Bare, these are other RFC 8941 types; as keys they are their own text.
            ("42", "42"),
            ("?1", "?1"),
            (":YQ==:", ":YQ==:"),
            ("tok/en:x", "tok/en:x"),
            ("'k'", "'k'"),
            ("(a)", "(a)"),
            ("!#$%&'()*+-./:<=>?@[]^_`{|}~", "!#$%&'()*+-./:<=>?@[]^_`{|}~"),
            (&longest, &longest),
            (&longest_quoted, &longest),
            (&longest_escaped, &backslashes),
        ];
        for (value, key) in cases {
            assert_eq!(parse(&headers(&[value])), Ok(Some((*key).to_owned())), "{value}");
        }
    }

    #[test]
    fn well_formed_parameters_are_ignored() {
        for parameters in [
            ";a",
            "; a",
            ";   a;b",
            ";a;a",
            ";*",
            ";*a_b-c.d*9",
            ";a=1",
            ";a=-1",
            ";a=0",
            ";a=-0",
            ";a=007",
            ";a=999999999999999",
            ";a=123456789012.123",
            ";a=-0.5",
            ";a=tok",
            ";a=T!#$%&'*+-.^_`|~:/9",
            ";a=*x",
            ";a=\"\"",
            ";a=\"x;y,\\\"\\\\\"",
            ";a=::",
            ";a=:YQ==:",
            ";a=:YWI=:",
            ";a=:YWJj:",
            ";a=:YQ:",
            ";a=:YWI:",
            ";a=:+/+/:",
            ";a=?0",
            ";a=?1;b",
            ";a=@1659578233",
            ";a=@-1",
            ";a=%\"\"",
            ";a=%\"f%c3%bc%22\"",
            ";a=%\"plain \\ text\"",
        ] {
            assert_eq!(parse_value(format!("\"k\"{parameters}").as_bytes()), Ok("k".to_owned()), "{parameters}");
        }
    }

    #[test]
    fn broken_parameters_are_refused() {
        for parameters in [
            ";",
            "; ",
            ";;a",
            ";a;",
            " ;a",
            ";A",
            ";1a",
            ";-a",
            ";a =1",
            ";a= 1",
            ";a=",
            ";a=;b",
            ";a=-",
            ";a=--1",
            ";a=+1",
            ";a=1.",
            ";a=.1",
            ";a=1.2.3",
            ";a=1.2345",
            ";a=1e3",
            ";a=1234567890123456",
            ";a=1234567890123.1",
            ";a=\"x",
            ";a=\"x\\",
            ";a=\"\\x\"",
            ";a=:YQ==",
            ";a=:Y:",
            ";a=:YQ=:",
            ";a=:YWI==:",
            ";a=:YWJj=:",
            ";a=:=:",
            ";a=:=YQ:",
            ";a=:Y Q:",
            ";a=:Y-_Q:",
            ";a=?",
            ";a=?2",
            ";a=?true",
            ";a=@",
            ";a=@1.5",
            ";a=@x",
            ";a=%",
            ";a=%x",
            ";a=%\"",
            ";a=%\"%",
            ";a=%\"%c\"",
            ";a=%\"%C3%BC\"",
            ";a=%\"%ff\"",
            ";a=(1 2)",
            ";a=1 b",
            ";a x",
            ";a\"",
        ] {
            let parsed = parse_value(format!("\"k\"{parameters}").as_bytes());
            assert_eq!(parsed, Err(KeyError::BadParameters), "{parameters}");
        }
    }

    #[test]
    fn keys_that_are_refused() {
        let too_long = "k".repeat(256);
        let too_long_quoted = serialise(&too_long);
        let cases: &[(&[&str], KeyError)] = &[
            (&["a", "b"], KeyError::Repeated),
            (&["a", "a"], KeyError::Repeated),
            (&["", "a"], KeyError::Repeated),
            (&[""], KeyError::Empty),
            (&[" "], KeyError::Empty),
            (&[" \t "], KeyError::Empty),
            (&["\"\""], KeyError::Empty),
            (&["\"   \""], KeyError::Empty),
            (&["\"\";a=1"], KeyError::Empty),
            (&[&too_long], KeyError::TooLong),
            (&[&too_long_quoted], KeyError::TooLong),
            (&["schlüssel"], KeyError::NotAscii),
            (&["\"schlüssel\""], KeyError::NotAscii),
            (&["\"k\";a=\"ü\""], KeyError::NotAscii),
            (&["a\tb"], KeyError::ControlCharacter),
            (&["\"a\tb\""], KeyError::ControlCharacter),
            (&["\"k\";\ta"], KeyError::ControlCharacter),
            (&["a,b"], KeyError::List),
            (&["a, b"], KeyError::List),
            (&[","], KeyError::List),
            (&["\"a\",\"b\""], KeyError::List),
            (&["\"a\" , \"b\""], KeyError::List),
            (&["\"a\";x=1, \"b\""], KeyError::List),
            (&["\"a\","], KeyError::List),
            (&["\""], KeyError::Unterminated),
            (&["\"abc"], KeyError::Unterminated),
            (&["\"abc\\\""], KeyError::Unterminated),
            (&["\"abc\\"], KeyError::Unterminated),
            (&["\"a\\bc\""], KeyError::BadEscape),
            (&["\"a\\ \""], KeyError::BadEscape),
            (&["\"abc\"def"], KeyError::TrailingCharacters),
            (&["\"abc\" def"], KeyError::TrailingCharacters),
            (&["\"abc\"\""], KeyError::TrailingCharacters),
            (&["abc\""], KeyError::NeedsQuotes),
            (&["a\"b\"c"], KeyError::NeedsQuotes),
            (&["a b"], KeyError::NeedsQuotes),
            (&["a;b"], KeyError::NeedsQuotes),
            (&[r"a\b"], KeyError::NeedsQuotes),
        ];
        for (values, error) in cases {
            assert_eq!(parse(&headers(values)), Err(*error), "{values:?}");
        }
    }

    /// An HTTP parser lets neither through, but this one does not count on that.
    #[test]
    fn control_characters_that_no_header_value_can_hold() {
        for byte in (0..0x20).chain([0x7f]).filter(|&byte| byte != b'\t') {
            assert_eq!(parse_value(&[b'a', byte]), Err(KeyError::ControlCharacter), "{byte:#x}");
            assert_eq!(parse_value(&[b'"', b'a', byte, b'"']), Err(KeyError::ControlCharacter), "{byte:#x}");
        }
    }

    #[test]
    fn errors_name_the_fix_and_never_the_value() {
        for value in ["sec ret", "\"secret", "\"secret\"x", "secret,secret", "\"sec\\ret\"", "\"secret\";", "secrét"] {
            let text = parse_value(value.as_bytes()).unwrap_err().to_string();
            assert!(!text.contains("sec"), "{text}");
            assert!(text.matches(". ").count() >= 1 && text.ends_with('.'), "{text}");
        }
    }

    /// Reaches deep into the grammar, well-formed or not.
    const ITEM_LIKE: &str = r#"[ \t]?"?[a-c" \\]{0,4}"?(;[ a=*1.:?@%"\\-]{0,9}){0,3}[,x]?"#;

    proptest! {
        #[test]
        fn any_bytes_are_a_key_or_an_error(bytes: Vec<u8>) {
            if let Ok(key) = parse_value(&bytes) {
                prop_assert!((1..=MAX_KEY_CHARS).contains(&key.len()));
                prop_assert!(key.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            }
        }

        #[test]
        fn anything_item_like_is_a_key_or_an_error(text in ITEM_LIKE) {
            if let Ok(key) = parse_value(text.as_bytes()) {
                prop_assert_eq!(parse_value(serialise(&key).as_bytes()), Ok(key));
            }
        }

        #[test]
        fn any_key_survives_quoting(key in "[ -~]{0,254}[!-~]") {
            prop_assert_eq!(parse(&headers(&[&serialise(&key)])), Ok(Some(key)));
        }

        #[test]
        fn both_spellings_are_one_key(key in r"[!#-+\--:<-\[\]-~]{1,255}") {
            prop_assert_eq!(parse(&headers(&[&key])), Ok(Some(key.clone())));
            prop_assert_eq!(parse(&headers(&[&serialise(&key)])), Ok(Some(key)));
        }
    }
}
