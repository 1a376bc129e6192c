use std::fmt::Write;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK, RETRY_AFTER, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::problem::Problem;
use super::problem_kind::Description;

impl Problem {
    /// As problem details (RFC 9457).
    pub(super) fn details(&self) -> Response<String> {
        self.head(self.json(), HeaderValue::from_static("application/problem+json"))
    }

    /// What is said beside the body, whatever that is.
    pub(super) fn head(&self, body: String, content_type: HeaderValue) -> Response<String> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        self.keep_protocol(response.headers_mut());
        response
    }

    /// Adds what clients and caches rely on. What the service has said of its own accord stays.
    pub(super) fn keep_protocol(&self, headers: &mut HeaderMap) {
        // The next attempt may well succeed: no cache may answer it with this.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if !headers.get_all(VARY).iter().any(names_accept) {
            headers.append(VARY, HeaderValue::from_static("Accept"));
        }
        if let Some(after) = self.retry_after()
            && !headers.contains_key(RETRY_AFTER)
        {
            headers.insert(RETRY_AFTER, after.as_secs().into());
        }
        // draft-ietf-httpapi-idempotency-key-header-07, 2.7.
        let link = self.documentation_url().map(|address| format!("<{address}>; rel=\"describedby\""));
        if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok())
            && !headers.get_all(LINK).iter().any(|other| *other == link)
        {
            headers.append(LINK, link);
        }
    }

    fn json(&self) -> String {
        let Description { code, status, title, detail } = self.describe();
        let (kind, title) = match self.documentation_url() {
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
        // Writing to a string cannot fail.
        let _ = write!(json, ",\"retryable\":{}", self.retryable());
        if let Some(original_status) = self.original_status() {
            let _ = write!(json, "{ORIGINAL_STATUS}{}", original_status.as_str());
        }
        json.push('}');
        json
    }
}

/// What stands before the status that a handler answered. Records of earlier versions have it too.
const ORIGINAL_STATUS: &str = ",\"original_status\":";

/// The status that a handler answered whose response was not kept, as the problem in its place says it.
pub(super) fn original_status(json: &str) -> Option<u16> {
    let (_, rest) = json.split_once(ORIGINAL_STATUS)?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|status| StatusCode::from_u16(*status).is_ok())
}

fn names_accept(vary: &HeaderValue) -> bool {
    let names = vary.to_str().unwrap_or_default().split(',').map(str::trim);
    names.into_iter().any(|name| name == "*" || name.eq_ignore_ascii_case("accept"))
}

/// RFC 9110, 15: the phrases that it recommends, two of which the `http` crate still has in their RFC 7231 form.
pub(super) fn phrase(status: StatusCode) -> &'static str {
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
#[path = "problem_details_tests.rs"]
mod tests;
