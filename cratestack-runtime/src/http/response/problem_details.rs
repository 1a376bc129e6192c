use std::fmt::Write;

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::problem::{Description, Problem};

impl Problem {
    /// The answer. `documentation` is an address that [`valid_documentation`] accepts; another one is left out.
    pub(crate) fn into_response(self, documentation: Option<&str>) -> Response<Body> {
        self.render(documentation).map(Body::from)
    }

    /// The answer, its body still in hand.
    pub(crate) fn render(self, documentation: Option<&str>) -> Response<String> {
        let documentation = documentation.filter(|address| valid_documentation(address));
        let mut response = Response::new(self.json(documentation));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // The next attempt may well succeed: no cache may answer it with this.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_secs() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        // draft-ietf-httpapi-idempotency-key-header-07, 2.7.
        let link = documentation.map(|address| format!("<{address}>; rel=\"describedby\""));
        if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
            headers.insert(LINK, link);
        }
        response
    }

    fn json(self, documentation: Option<&str>) -> String {
        let Description { code, status, title, detail } = self.describe();
        let (kind, title) = match documentation {
            Some(address) => (format!("{address}#{code}"), title),
            // RFC 9457, 4.2.1: without a type of its own, a problem has its status for a title.
            None => ("about:blank".to_owned(), phrase(status)),
        };
        let mut json = String::from("{\"type\":");
        push_json_string(&mut json, &kind);
        json.push_str(",\"title\":");
        push_json_string(&mut json, title);
        json.push_str(",\"status\":");
        json.push_str(status.as_str());
        json.push_str(",\"detail\":");
        push_json_string(&mut json, &detail);
        json.push_str(",\"code\":");
        push_json_string(&mut json, code);
        if let Self::ResponseNotReplayable { original_status } = self {
            // Writing to a string cannot fail.
            let _ = write!(json, ",\"original_status\":{original_status}");
        }
        json.push('}');
        json
    }
}

/// Whether an address can stand in a `type` member and a `Link` header.
///
/// Only the characters of a URI (RFC 3986, 2), so that it cannot leave its angle brackets; and no `#`, since the code
/// of each problem becomes its fragment. A relative reference such as `/docs/idempotency` will do (RFC 9457, 3.1.1).
pub(crate) fn valid_documentation(address: &str) -> bool {
    let mut rest = address.as_bytes();
    while let Some((&byte, left)) = rest.split_first() {
        rest = match (byte, left) {
            (b'%', [high, low, left @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => left,
            (b'%', _) => return false,
            _ if byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=".contains(&byte) => left,
            _ => return false,
        };
    }
    !address.is_empty()
}

/// RFC 9110, 15: the phrases that it recommends, two of which the `http` crate still has in their RFC 7231 form.
fn phrase(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable Content",
        _ => status.canonical_reason().unwrap_or("Error"),
    }
}

/// RFC 8259, 7: what must be escaped is the quote, the backslash and the control characters below U+0020.
fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\0'..='\u{1f}' => {
                // Writing to a string cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
