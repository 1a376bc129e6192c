use std::fmt;

/// What the names of all keys begin with where nobody says otherwise.
///
/// ```
/// assert_eq!(cratestack_schema::redis::PREFIX, "cratestack_idempotency:");
/// ```
pub const PREFIX: &str = "cratestack_idempotency:";

/// The names of a store's keys: what they begin with, then the principal and the key, each percent-encoded where it is
/// not plain.
///
/// ```
/// use cratestack_schema::redis::KeyPrefix;
///
/// let prefix = KeyPrefix::new("payments:idempotency:")?;
/// assert_eq!(prefix.key("alice", "k1"), "payments:idempotency:alice:k1");
/// assert!(KeyPrefix::new("{payments}:").is_err(), "all records would lie in one slot of a Cluster");
/// # Ok::<(), cratestack_schema::redis::PrefixError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPrefix(String);

/// Why a text cannot be what names of keys begin with.
///
/// ```
/// use cratestack_schema::redis::{KeyPrefix, PrefixError};
///
/// assert_eq!(KeyPrefix::new(""), Err(PrefixError::Empty));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrefixError {
    /// It is empty: records would lie among everybody else's keys.
    Empty,
    /// It contains this character. Visible ASCII characters other than braces may be in it.
    Character(char),
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the prefix of idempotency keys is empty; give one such as `payments:idempotency:`"),
            Self::Character('{' | '}') => f.write_str(
                "the prefix of idempotency keys contains a brace, by which all records could lie in one slot of a Cluster; \
                 leave it out",
            ),
            Self::Character(other) => write!(
                f,
                "the prefix of idempotency keys contains {other:?}; use visible ASCII characters other than braces"
            ),
        }
    }
}

impl std::error::Error for PrefixError {}

impl KeyPrefix {
    /// # Errors
    ///
    /// When the text is empty, or has a character that cannot be in a prefix.
    ///
    /// ```
    /// assert!(cratestack_schema::redis::KeyPrefix::new("payments:").is_ok());
    /// ```
    pub fn new(prefix: impl Into<String>) -> Result<Self, PrefixError> {
        let prefix = prefix.into();
        if prefix.is_empty() {
            return Err(PrefixError::Empty);
        }
        let refused = |c: &char| !c.is_ascii_graphic() || matches!(c, '{' | '}');
        match prefix.chars().find(refused) {
            Some(refused) => Err(PrefixError::Character(refused)),
            None => Ok(Self(prefix)),
        }
    }

    /// The text itself.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::redis::KeyPrefix::default().as_str(), "cratestack_idempotency:");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a record's key: no two records have the same.
    ///
    /// ```
    /// use cratestack_schema::redis::KeyPrefix;
    ///
    /// let prefix = KeyPrefix::default();
    /// assert_ne!(prefix.key("a:b", "c"), prefix.key("a", "b:c"));
    /// ```
    pub fn key(&self, principal: &str, key: &str) -> String {
        let mut name = String::with_capacity(self.0.len() + principal.len() + key.len() + 1);
        name.push_str(&self.0);
        encode(principal, &mut name);
        name.push(':');
        encode(key, &mut name);
        name
    }

    /// The principal and the key of a record, from the name of its key; `None` where it is the name of something else.
    ///
    /// ```
    /// use cratestack_schema::redis::KeyPrefix;
    ///
    /// assert_eq!(KeyPrefix::default().split(b"session:7"), None);
    /// ```
    pub fn split(&self, name: &[u8]) -> Option<(String, String)> {
        let rest = std::str::from_utf8(name.strip_prefix(self.0.as_bytes())?).ok()?;
        let (principal, key) = rest.split_once(':')?;
        Some((decode(principal)?, decode(key)?))
    }

    /// A pattern for `SCAN` that the names of all records match, and few others.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::redis::KeyPrefix::default().pattern(), "cratestack_idempotency:*:*");
    /// ```
    pub fn pattern(&self) -> String {
        self.literal() + "*:*"
    }

    /// The prefix as a pattern that means nothing but itself.
    pub(super) fn literal(&self) -> String {
        let mut pattern = String::with_capacity(self.0.len() + 3);
        for c in self.0.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern
    }

    /// The name of a key and a channel that questions about rights are asked of. There is no such key.
    pub(super) fn probe(&self) -> String {
        format!("{}%probe", self.0)
    }

    /// The name of the key that is set anew whenever an operator removes an outcome. No record has this name.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::redis::KeyPrefix::default().removal_mark(), "cratestack_idempotency:%removals");
    /// ```
    pub fn removal_mark(&self) -> String {
        format!("{}%removals", self.0)
    }
}

impl Default for KeyPrefix {
    /// [`PREFIX`].
    fn default() -> Self {
        Self(PREFIX.to_owned())
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'%' | b':' | b'{' | b'}')
}

fn encode(text: &str, name: &mut String) {
    for byte in text.bytes() {
        if is_plain(byte) {
            name.push(char::from(byte));
        } else {
            name.push('%');
            name.push(char::from(HEX[usize::from(byte >> 4)]));
            name.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Only what `encode` has made: each text has one spelling.
fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if is_plain(byte) {
            bytes.push(byte);
        } else if byte == b'%' {
            let decoded = digit(rest.next()?)? << 4 | digit(rest.next()?)?;
            if is_plain(decoded) {
                return None;
            }
            bytes.push(decoded);
        } else {
            return None;
        }
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    HEX.iter().position(|digit| *digit == byte).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_has_a_name_of_its_own_and_can_be_read_off_it() {
        let prefix = KeyPrefix::default();
        let texts = ["", ":", "a", "a:b", "a%3Ab", "{a}", "é ü", "\0\n", "%", "%removals", "removals"];
        let mut names = Vec::new();
        for principal in texts {
            for key in texts {
                let name = prefix.key(principal, key);
                assert_eq!(prefix.split(name.as_bytes()), Some((principal.to_owned(), key.to_owned())), "{name}");
                assert!(!name.contains(['{', '}']), "{name} has no hash tag");
                assert_ne!(name, prefix.removal_mark());
                names.push(name);
            }
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), texts.len() * texts.len());
    }

    #[test]
    fn what_lies_beside_the_records_is_none_of_them() {
        let prefix = KeyPrefix::default();
        for name in ["cratestack_idempotency:%removals", "cratestack_idempotency:a", "x:a:b"] {
            assert_eq!(prefix.split(name.as_bytes()), None, "{name}");
        }
        for spelled_otherwise in ["a:b:c", "%61:b", "%3a:b", "a:%", "a:%3"] {
            assert_eq!(prefix.split(format!("{PREFIX}{spelled_otherwise}").as_bytes()), None, "{spelled_otherwise}");
        }
        assert_eq!(prefix.split(b"cratestack_idempotency:\xff:b"), None);
    }

    #[test]
    fn a_prefix_that_begins_another_shares_no_name_with_it() {
        let (short, long) = (KeyPrefix::new("a:").unwrap(), KeyPrefix::new("a:b:").unwrap());
        assert_eq!(short.split(long.key("c", "d").as_bytes()), None);
        assert_eq!(short.split(long.removal_mark().as_bytes()), None);
    }

    #[test]
    fn a_pattern_means_its_prefix_literally() {
        assert_eq!(KeyPrefix::new("a*[b]?\\:").unwrap().pattern(), "a\\*\\[b\\]\\?\\\\:*:*");
    }
}
