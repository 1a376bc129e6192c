//! How callers' names are spelled in the table, for whoever knows a caller as the service does.
//!
//! The spellings lie in tables and do not change. `cratestack-runtime` has them in `handle::principal`; a test holds
//! the two against each other.

use clap::ValueEnum;
use cratestack_schema::NAMESPACE_MARK;
use sha2::{Digest, Sha256};

/// The longest principal that is stored as it is.
const MAX_PRINCIPAL_BYTES: usize = 255;
const MAX_NAMESPACE_BYTES: usize = 64;

/// What a principal is given as.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// As the table has it, without the namespace: what --names shows
    Stored,
    /// The value of the header `Authorization`, whose holder a caller is by default; better from standard input
    Authorization,
    /// The IP address of a caller without that header
    Address,
    /// What the function of `Idempotency::principal` returns
    Named,
    /// What `principal = EXPR` comes to, where that is a text
    Text,
    /// What `principal = EXPR` comes to, where that is an integer
    Integer,
    /// What `principal = EXPR` comes to, where that is a UUID
    Uuid,
}

impl Kind {
    /// As the table has it, without the namespace.
    pub fn stored(self, value: &str) -> Result<String, String> {
        if value.is_empty() {
            return Err("it is empty, and names nobody".to_owned());
        }
        match self {
            Self::Stored => Ok(value.to_owned()),
            Self::Authorization => Ok(hex(&Sha256::digest(value.trim_ascii()))),
            Self::Address => match value.parse::<std::net::IpAddr>() {
                Ok(address) => Ok(address.to_canonical().to_string()),
                Err(_) => Err(format!("{value:?} is no IP address")),
            },
            Self::Named => Ok(given(value)),
            Self::Text => Ok(digest("principal", &[text(value)])),
            Self::Integer => {
                let (sign, digits) = value.strip_prefix('-').map_or(('+', value), |digits| ('-', digits));
                let magnitude: u128 = digits.parse().map_err(|_| format!("{value:?} is no integer"))?;
                let sign = if magnitude == 0 { '+' } else { sign };
                Ok(digest("principal", &[[&[sign as u8][..], &magnitude.to_le_bytes()].concat()]))
            }
            Self::Uuid => {
                let uuid: sqlx::types::Uuid = value.parse().map_err(|_| format!("{value:?} is no UUID"))?;
                Ok(digest("principal", &[[b"u", &uuid.as_bytes()[..]].concat()]))
            }
        }
    }
}

/// As the table has it in a namespace.
pub fn within(namespace: &str, principal: &str) -> String {
    let whole = format!("{namespace}{NAMESPACE_MARK}{principal}");
    if whole.len() <= MAX_PRINCIPAL_BYTES {
        return whole;
    }
    let both = [[&b"("[..], &2_u64.to_le_bytes()].concat(), text(namespace), text(principal)];
    format!("{namespace}{NAMESPACE_MARK}{NAMESPACE_MARK}{}", digest("namespaced principal", &both))
}

/// Whether a principal is stored as it is in whatever namespace.
pub fn fits_everywhere(principal: &str) -> bool {
    principal.len() + NAMESPACE_MARK.len_utf8() + MAX_NAMESPACE_BYTES <= MAX_PRINCIPAL_BYTES
}

pub fn namespace(name: &str) -> Result<String, String> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    if name.is_empty() || name.len() > MAX_NAMESPACE_BYTES || !name.bytes().all(is_legal) {
        return Err("a namespace is 1 to 64 characters of A to Z, a to z, 0 to 9, `.`, `_`, `:` and `-`".to_owned());
    }
    Ok(name.to_owned())
}

/// The first 16 hexadecimal digits of the SHA-256, as logs and events show a key and a principal.
pub fn short_hash(text: &str) -> String {
    hex(&Sha256::digest(text))[..16].to_owned()
}

fn given(name: &str) -> String {
    let is_digest = name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if name.contains(NAMESPACE_MARK) || is_digest {
        format!("{NAMESPACE_MARK}{}", digest("given principal", &[text(name)]))
    } else if name.len() > MAX_PRINCIPAL_BYTES {
        digest("long principal", &[text(name)])
    } else {
        name.to_owned()
    }
}

fn text(text: &str) -> Vec<u8> {
    [b"s", &(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn digest(context: &str, parts: &[Vec<u8>]) -> String {
    let mut hasher = Sha256::new_with_prefix(text(context));
    for part in parts {
        hasher.update(part);
    }
    hex(&hasher.finalize())
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Nothing that a string is written to fails.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same as in the runtime's `stored_names_are_pinned`, computed with Python's `hashlib`.
    #[test]
    fn stored_names_are_pinned() {
        const DIGEST: &str = "622e64b2c22f425807dd4e58a766a477bf47edd1548967fa4fd37ec9ff36d2b1";
        let named = |name: &str| Kind::Named.stored(name).unwrap();
        assert_eq!(Kind::Authorization.stored(" Bearer sk_test_123\n").unwrap(), DIGEST);
        assert_eq!(named("alice"), "alice");
        assert_eq!(named(DIGEST), "→56670fe6eb2e33b0de77730b802d0d8781070cf9ebf7462daef08a71d68f6c0e");
        assert_eq!(named(&"a".repeat(256)), "7a4996fdaf8040546cf8eab9a46c12d549d5deb39a44ea21537bf6f01bfe507f");
        assert_eq!(within("orders", "alice"), "orders→alice");
        assert_eq!(
            within("orders", &"a".repeat(255)),
            "orders→→05eabc9c5e0253a7b42305b023de5e876d365caea6ecdf6371e772e6cbb74513"
        );
        assert_eq!(short_hash("8e03978e-40d5-43dd-bc93-6894a57f9324"), "d77da8028f3c5a13");
    }

    #[test]
    fn what_is_no_principal_says_so() {
        for (kind, value) in [
            (Kind::Stored, ""),
            (Kind::Address, "localhost"),
            (Kind::Integer, "4x"),
            (Kind::Integer, "-"),
            (Kind::Uuid, "8e03"),
        ] {
            assert!(kind.stored(value).is_err(), "{value:?}");
        }
        assert_eq!(Kind::Address.stored("::ffff:192.0.2.7").unwrap(), "192.0.2.7");
        assert_eq!(Kind::Integer.stored("-0"), Kind::Integer.stored("0"));
    }
}
