use super::key_error::KeyError;

/// What is left to read. The methods are the parsing algorithms of RFC 8941, 4.2 and, for the two types that it added,
/// RFC 9651, 4.2; `None` is their "fail parsing".
///
/// The values of parameters are checked and dropped: a field that defines no parameters ignores them, but only if they
/// are parameters (RFC 8941, 4.2: a field parses whole or not at all).
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self(value)
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !accept(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// RFC 8941, 4.2.5. The caller has refused control characters and everything that is not ASCII.
    pub(super) fn string_after_quote(&mut self) -> Result<String, KeyError> {
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
    pub(super) fn parameters(&mut self) -> Option<()> {
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
        if matches!(self.0.first()?, b'-' | b'0'..=b'9') {
            return self.number().map(|_| ());
        }
        match self.next()? {
            b'"' => self.string_after_quote().ok().map(|_| ()),
            b':' => self.byte_sequence_after_colon(),
            b'?' => matches!(self.next()?, b'0' | b'1').then_some(()),
            // A Date is whole seconds.
            b'@' => matches!(self.number()?, Number::Integer).then_some(()),
            b'%' => self.display_string_after_percent(),
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
