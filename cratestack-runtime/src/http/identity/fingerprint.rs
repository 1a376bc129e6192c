//! What a request and its caller look like, as hashes: the record must recognise both and should reveal neither.

use ::http::Method;
use sha2::{Digest, Sha256};

/// What makes two requests the same: SHA-256 over method, `\0`, path with query, `\0`, content type or nothing, `\0`,
/// body.
///
/// Services of one fleet compare each other's hashes, so the recipe does not change. Nothing is normalised: a client
/// that repeats its request repeats its bytes.
///
/// ```
/// use cratestack_runtime::hash_request;
/// use http::Method;
///
/// let first = hash_request(&Method::POST, "/payments", Some("application/json"), b"{\"amount\":100}");
/// let again = hash_request(&Method::POST, "/payments", Some("application/json"), b"{\"amount\":100}");
/// let other = hash_request(&Method::POST, "/payments", Some("application/json"), b"{\"amount\":999}");
/// assert_eq!(first, again);
/// assert_ne!(first, other);
/// ```
pub fn hash_request(method: &Method, path_and_query: &str, content_type: Option<&str>, body: &[u8]) -> [u8; 32] {
    let mut hasher = RequestHasher::new(method, path_and_query, content_type);
    hasher.update(body);
    hasher.finish()
}

/// [`hash_request`] for a body that arrives in pieces.
#[derive(Clone)]
pub(crate) struct RequestHasher(Sha256);

impl RequestHasher {
    pub(crate) fn new(method: &Method, path_and_query: &str, content_type: Option<&str>) -> Self {
        // No `\0` can stand in a method, a path or a header value, so no two requests run together in the same bytes.
        let mut hasher = Sha256::new();
        for part in [method.as_str(), path_and_query, content_type.unwrap_or_default()] {
            hasher.update(part);
            hasher.update([0]);
        }
        Self(hasher)
    }

    /// The next piece of the body.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The caller that an `Authorization` value stands for. A hash, because the value is a credential and this is stored.
pub(crate) fn principal_from_authorization(value: &[u8]) -> String {
    hex(&Sha256::digest(value))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| digits(*byte)).map(char::from).collect()
}

fn digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Sixteen hexadecimal digits, held without an allocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShortHash([u8; 16]);

impl ShortHash {
    pub(crate) fn as_str(&self) -> &str {
        // Hexadecimal digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What logs show of a key or a principal: enough to find the same one again, not enough to use it.
pub(crate) fn short_hash(text: &str) -> ShortHash {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut short = [0; 16];
    for (digits_of_byte, byte) in short.chunks_exact_mut(2).zip(digest) {
        digits_of_byte.copy_from_slice(&digits(byte));
    }
    ShortHash(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hashlib`.
    #[test]
    fn request_hashes_are_pinned() {
        let json = Some("application/json");
        for (method, path, content_type, body, hash) in [
            (
                Method::POST,
                "/payments?currency=EUR",
                json,
                &b"{\"amount\":100}"[..],
                "ce5f3ec856d1156ac136f1e7bd1d853fe3a4eeacff3325c18f453d4baf7ded61",
            ),
            (Method::POST, "/payments", None, b"", "04dc1fb906e0abe57cdba6e52b5ec1e8ec667042533a4f3778c115c03a35be35"),
            (
                Method::DELETE,
                "/a/%C3%A9",
                None,
                b"\x00\xff\r\n",
                "b36f759fd5e9309493a30e613edf742a63d6a156638f2eb0253481413fa80926",
            ),
        ] {
            assert_eq!(hex(&hash_request(&method, path, content_type, body)), hash);
        }
    }

    #[test]
    fn no_content_type_is_an_empty_one() {
        let hash = |content_type| hash_request(&Method::POST, "/", content_type, b"x");
        assert_eq!(hash(None), hash(Some("")));
        assert_ne!(hash(None), hash(Some("text/plain")));
    }

    #[test]
    fn parts_do_not_run_together() {
        let hash = |path, content_type, body| hash_request(&Method::POST, path, Some(content_type), body);
        assert_ne!(hash("/a", "b", b"c"), hash("/ab", "", b"c"));
        assert_ne!(hash("/a", "b", b"c"), hash("/a", "", b"bc"));
    }

    /// Computed with Python's `hashlib`.
    #[test]
    fn principals_and_short_hashes_are_pinned() {
        let principal = principal_from_authorization(b"Bearer sk_test_123");
        assert_eq!(principal, "622e64b2c22f425807dd4e58a766a477bf47edd1548967fa4fd37ec9ff36d2b1");
        assert_eq!(short_hash("8e03978e-40d5-43dd-bc93-6894a57f9324").as_str(), "d77da8028f3c5a13");
    }

    #[test]
    fn hex_is_lower_case_and_padded() {
        assert_eq!(hex(&[]), "");
        assert_eq!(hex(&[0x00, 0x0a, 0xff]), "000aff");
    }
}
