//! What a request looks like, as a hash: the record must recognise it and should not reveal it.

use axum::extract::OriginalUri;
use http::request::Parts;
use http::{Method, Uri, header};
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

    /// It has seen all of a request but its body.
    pub(crate) fn of(parts: &Parts) -> Self {
        let uri = original_uri(parts);
        let path = uri.path_and_query().map_or_else(|| uri.path(), http::uri::PathAndQuery::as_str);
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Self::new(&parts.method, path, content_type)
    }

    /// The next piece of the body.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Inside a nested router the URI has lost its prefix, and two routes would look the same.
pub(crate) fn original_uri(parts: &Parts) -> &Uri {
    parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::hex;

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
}
