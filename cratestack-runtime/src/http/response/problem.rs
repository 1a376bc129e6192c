//! Refusals, as problem details (RFC 9457).
//!
//! The client that reads them is a program: it decides by `code`, and its developer reads `detail`. Neither a key nor a
//! principal nor anything of a body is ever part of an answer.

use std::fmt::Write;

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK, RETRY_AFTER};
use ::http::{HeaderValue, Response, StatusCode};
use axum::body::Body;

use crate::http::identity::KeyError;

/// What went wrong. Codes and statuses are stable: clients branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The handler requires a key and the request has none.
    KeyMissing,
    /// The attribute's `key = …` comes to nothing.
    KeyAbsent,
    KeyInvalid(KeyError),
    /// The key belongs to another request.
    KeyConflict,
    /// The same request is running.
    RequestInFlight,
    RequestTooLarge {
        /// The most bytes that a body may have, where the limit is the guard's own.
        limit: Option<usize>,
    },
    /// The body could not be read to its end.
    RequestIncomplete,
    /// Nothing tells who is calling: the server is misconfigured.
    CallerUnknown,
    StoreUnavailable,
    /// So much is under way that nothing more may begin.
    Overloaded,
    /// There is a record, but it cannot be read.
    RecordDamaged,
    HandlerPanicked,
    /// The request was executed, but its response was not kept.
    ResponseNotReplayable {
        original_status: u16,
    },
    /// Another attempt took the request over while this one ran.
    ReservationLost,
    /// A handler asks for its reservation where there is none to have: the server's own mistake.
    NoReservation,
    /// The handler's transaction was undone; another run may fare better.
    TransactionRolledBack,
    /// The handler's transaction took too long and was undone.
    TransactionTimedOut,
    /// The handler's transaction cannot be committed.
    TransactionRefused,
    /// Nobody can say whether the handler's transaction is committed.
    OutcomeUnknown,
}

impl Problem {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::KeyMissing | Self::KeyAbsent => "idempotency_key_missing",
            Self::KeyInvalid(_) => "idempotency_key_invalid",
            Self::KeyConflict => "idempotency_key_conflict",
            Self::RequestInFlight => "idempotency_request_in_flight",
            Self::RequestTooLarge { .. } => "idempotency_request_too_large",
            Self::RequestIncomplete => "idempotency_request_incomplete",
            Self::CallerUnknown => "idempotency_caller_unknown",
            Self::StoreUnavailable => "idempotency_store_unavailable",
            Self::Overloaded => "idempotency_overloaded",
            Self::RecordDamaged => "idempotency_record_damaged",
            Self::HandlerPanicked => "idempotency_handler_panicked",
            Self::ResponseNotReplayable { .. } => "idempotency_response_not_replayable",
            Self::ReservationLost => "idempotency_reservation_lost",
            Self::NoReservation => "idempotency_no_reservation",
            Self::TransactionRolledBack => "idempotency_transaction_rolled_back",
            Self::TransactionTimedOut => "idempotency_transaction_timed_out",
            Self::TransactionRefused => "idempotency_transaction_refused",
            Self::OutcomeUnknown => "idempotency_outcome_unknown",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::KeyMissing | Self::KeyAbsent | Self::KeyInvalid(_) | Self::RequestIncomplete => {
                StatusCode::BAD_REQUEST
            }
            Self::KeyConflict => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RequestInFlight | Self::ResponseNotReplayable { .. } | Self::ReservationLost => StatusCode::CONFLICT,
            Self::RequestTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CallerUnknown
            | Self::RecordDamaged
            | Self::HandlerPanicked
            | Self::NoReservation
            | Self::TransactionRefused => StatusCode::INTERNAL_SERVER_ERROR,
            Self::StoreUnavailable
            | Self::Overloaded
            | Self::TransactionRolledBack
            | Self::TransactionTimedOut
            | Self::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::KeyMissing => "Idempotency-Key is missing",
            Self::KeyAbsent => "Idempotency key is missing",
            Self::KeyInvalid(_) => "Idempotency-Key is invalid",
            Self::KeyConflict => "Idempotency-Key is already used",
            Self::RequestInFlight => "A request is outstanding for this Idempotency-Key",
            Self::RequestTooLarge { .. } => "Request body is too large",
            Self::RequestIncomplete => "Request body is incomplete",
            Self::CallerUnknown => "Caller cannot be identified",
            Self::StoreUnavailable => "Idempotency store is unavailable",
            Self::Overloaded => "Too many requests are under way",
            Self::RecordDamaged => "Idempotency record is damaged",
            Self::HandlerPanicked => "Request handler failed",
            Self::ResponseNotReplayable { .. } => "Response cannot be replayed",
            Self::ReservationLost => "Another attempt took this request over",
            Self::NoReservation => "Request has no reservation",
            Self::TransactionRolledBack => "Transaction was rolled back",
            Self::TransactionTimedOut => "Transaction took too long",
            Self::TransactionRefused => "Transaction cannot be committed",
            Self::OutcomeUnknown => "Outcome is not known",
        }
    }

    fn detail(self) -> String {
        let text = match self {
            Self::KeyMissing => {
                "This operation requires an Idempotency-Key header. Send one with a key that is unique to this \
                 request, such as a random UUID, and send the same key again when you retry."
            }
            Self::KeyAbsent => {
                "This operation makes its idempotency key of a value in the request itself, and this request does not \
                 have that value. Send one that is unique to this request, and send the same one again when you retry."
            }
            Self::KeyInvalid(error) => return error.to_string(),
            Self::KeyConflict => {
                "This idempotency key was already used for a different request. Use a new key for a new request; to \
                 retry an earlier request, send it exactly as before."
            }
            Self::RequestInFlight => {
                "A request with this idempotency key is still being processed. Retry with the same key and the same \
                 request to get its outcome."
            }
            Self::RequestTooLarge { limit: Some(limit) } => {
                return format!(
                    "The request body is larger than {limit} bytes, the most that is accepted here. Send a smaller \
                     body. This attempt executed nothing."
                );
            }
            Self::RequestTooLarge { limit: None } => {
                "The request body is larger than is accepted here. Send a smaller body. This attempt executed nothing."
            }
            Self::RequestIncomplete => {
                "The request body could not be read to its end. This attempt executed nothing. Send the request again \
                 with the same idempotency key."
            }
            Self::CallerUnknown => {
                "The server cannot tell which caller this request belongs to, because it is misconfigured. This \
                 attempt executed nothing. Contact the operator, whose log says how to fix it."
            }
            Self::StoreUnavailable => {
                "The server cannot check this idempotency key at the moment. This attempt executed nothing. Retry \
                 later with the same key and the same request."
            }
            Self::Overloaded => {
                "The server has as many requests under way as it can take. This attempt executed nothing. Retry later \
                 with the same key and the same request."
            }
            Self::RecordDamaged => {
                "There is a record for this idempotency key, but it cannot be read. The request may have been executed \
                 and was not executed again. Check its effect before you send it with a new key."
            }
            Self::HandlerPanicked => {
                "The server failed while processing this request, and its effect is unknown. A retry with the same \
                 idempotency key executes the request again."
            }
            Self::ResponseNotReplayable { .. } => {
                "This request was already executed, but its response was not kept and cannot be sent again. Read the \
                 current state of the resource instead of retrying."
            }
            Self::ReservationLost => {
                "Another attempt with this idempotency key took this request over. Retry with the same key and the \
                 same request to get its outcome."
            }
            Self::NoReservation => {
                "The server's handler needs a reservation that this request cannot have, because the server is \
                 misconfigured. This attempt executed nothing. Contact the operator, whose log says how to fix it."
            }
            Self::TransactionRolledBack => {
                "This attempt changed nothing: its transaction was rolled back, because others were in its way or the \
                 database could not be reached. Retry with the same key and the same request."
            }
            Self::TransactionTimedOut => {
                "This attempt changed nothing: it took too long, and its transaction was rolled back. Retry later with the \
                 same key and the same request."
            }
            Self::TransactionRefused => {
                "This attempt changed nothing: its transaction could not be committed and was rolled back. A retry with \
                 the same idempotency key executes the request again."
            }
            Self::OutcomeUnknown => {
                "The database was lost while this attempt was being committed, so it is not known whether it took effect. \
                 Retry later with the same idempotency key and the same request to get its outcome; without a key, look \
                 before sending the request again."
            }
        };
        text.to_owned()
    }

    fn retry_after(self) -> Option<HeaderValue> {
        match self {
            Self::RequestInFlight | Self::ReservationLost | Self::TransactionRolledBack | Self::Overloaded => {
                Some(HeaderValue::from_static("1"))
            }
            Self::StoreUnavailable | Self::TransactionTimedOut | Self::OutcomeUnknown => {
                Some(HeaderValue::from_static("5"))
            }
            _ => None,
        }
    }

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
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, seconds);
        }
        // draft-ietf-httpapi-idempotency-key-header-07, 2.7.
        let link = documentation.map(|address| format!("<{address}>; rel=\"describedby\""));
        if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
            headers.insert(LINK, link);
        }
        response
    }

    fn json(self, documentation: Option<&str>) -> String {
        let status = self.status();
        let (kind, title) = match documentation {
            Some(address) => (format!("{address}#{}", self.code()), self.title()),
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
        push_json_string(&mut json, &self.detail());
        json.push_str(",\"code\":");
        push_json_string(&mut json, self.code());
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
mod tests {
    use http_body_util::BodyExt;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Every problem with its code, status, recommended phrase and `Retry-After`, which clients rely on.
    const PINNED: [(Problem, &str, u16, &str, Option<&str>); 19] = [
        (Problem::KeyMissing, "idempotency_key_missing", 400, "Bad Request", None),
        (Problem::KeyAbsent, "idempotency_key_missing", 400, "Bad Request", None),
        (Problem::KeyInvalid(KeyError::Empty), "idempotency_key_invalid", 400, "Bad Request", None),
        (Problem::KeyConflict, "idempotency_key_conflict", 422, "Unprocessable Content", None),
        (Problem::RequestInFlight, "idempotency_request_in_flight", 409, "Conflict", Some("1")),
        (
            Problem::RequestTooLarge { limit: Some(2_097_152) },
            "idempotency_request_too_large",
            413,
            "Content Too Large",
            None,
        ),
        (Problem::RequestIncomplete, "idempotency_request_incomplete", 400, "Bad Request", None),
        (Problem::CallerUnknown, "idempotency_caller_unknown", 500, "Internal Server Error", None),
        (Problem::StoreUnavailable, "idempotency_store_unavailable", 503, "Service Unavailable", Some("5")),
        (Problem::Overloaded, "idempotency_overloaded", 503, "Service Unavailable", Some("1")),
        (Problem::NoReservation, "idempotency_no_reservation", 500, "Internal Server Error", None),
        (Problem::RecordDamaged, "idempotency_record_damaged", 500, "Internal Server Error", None),
        (Problem::HandlerPanicked, "idempotency_handler_panicked", 500, "Internal Server Error", None),
        (
            Problem::ResponseNotReplayable { original_status: 201 },
            "idempotency_response_not_replayable",
            409,
            "Conflict",
            None,
        ),
        (Problem::ReservationLost, "idempotency_reservation_lost", 409, "Conflict", Some("1")),
        (Problem::TransactionRolledBack, "idempotency_transaction_rolled_back", 503, "Service Unavailable", Some("1")),
        (Problem::TransactionTimedOut, "idempotency_transaction_timed_out", 503, "Service Unavailable", Some("5")),
        (Problem::TransactionRefused, "idempotency_transaction_refused", 500, "Internal Server Error", None),
        (Problem::OutcomeUnknown, "idempotency_outcome_unknown", 503, "Service Unavailable", Some("5")),
    ];

    async fn read(response: Response<Body>) -> (StatusCode, ::http::HeaderMap, Value) {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn codes_and_statuses_are_pinned() {
        for (problem, code, status, phrase, retry_after) in PINNED {
            let (got_status, headers, body) = read(problem.into_response(None)).await;
            assert_eq!(got_status, status, "{code}");
            assert_eq!(headers["content-type"], "application/problem+json");
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(headers.get("retry-after").map(|value| value.to_str().unwrap()), retry_after, "{code}");
            assert!(!headers.contains_key("link"));
            assert_eq!(body["type"], "about:blank");
            assert_eq!(body["title"], phrase);
            assert_eq!(body["status"], status);
            assert_eq!(body["code"], code);
            assert!(body["detail"].as_str().unwrap().ends_with('.'), "{code}");
        }
    }

    #[tokio::test]
    async fn documentation_becomes_type_title_and_link() {
        for (problem, code, ..) in PINNED {
            let (_, headers, body) = read(problem.into_response(Some("https://docs.example/idempotency"))).await;
            assert_eq!(headers["link"], "<https://docs.example/idempotency>; rel=\"describedby\"");
            assert_eq!(body["type"], format!("https://docs.example/idempotency#{code}"));
            assert_eq!(body["title"], problem.title());
        }
    }

    #[tokio::test]
    async fn invalid_documentation_is_left_out() {
        for address in ["", "a>b", "a\r\nset-cookie: b", "a\0", "ü"] {
            let (_, headers, body) = read(Problem::KeyMissing.into_response(Some(address))).await;
            assert!(!headers.contains_key("link"));
            assert_eq!(body["type"], "about:blank");
        }
    }

    #[tokio::test]
    async fn members_that_only_some_have() {
        let (_, _, body) = read(Problem::ResponseNotReplayable { original_status: 201 }.into_response(None)).await;
        assert_eq!(body["original_status"], 201);

        let (_, _, body) = read(Problem::RequestTooLarge { limit: Some(2_097_152) }.into_response(None)).await;
        assert!(body["detail"].as_str().unwrap().contains("2097152 bytes"));
        assert_eq!(body.get("original_status"), None);

        let (_, _, body) = read(Problem::KeyInvalid(KeyError::NeedsQuotes).into_response(None)).await;
        assert_eq!(body["detail"], KeyError::NeedsQuotes.to_string());
    }

    #[test]
    fn a_whole_document() {
        let document: Value = serde_json::from_str(&Problem::KeyInvalid(KeyError::Repeated).json(None)).unwrap();
        let expected = json!({
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "The Idempotency-Key header was sent more than once. Send it once, with one key.",
            "code": "idempotency_key_invalid",
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn documentation_addresses() {
        for address in
            ["https://docs.example/idempotency", "https://[::1]:8080/a?b=c&d", "/docs/%C3%BC", "urn:example:x"]
        {
            assert!(valid_documentation(address), "{address}");
        }
        for address in
            ["", " ", "a b", "a>b", "<a", "a\"b", "a\\b", "a\nb", "a\u{7f}", "ü", "a#b", "%", "%4", "%zz", "a|b", "{a}"]
        {
            assert!(!valid_documentation(address), "{address}");
        }
    }

    proptest! {
        #[test]
        fn json_strings_are_read_back_by_serde_json(text: String) {
            let mut json = String::new();
            push_json_string(&mut json, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn json_strings_survive_every_control_character(text in "[\\x00-\\x7f\u{2028}\u{2029}]*") {
            let mut json = String::new();
            push_json_string(&mut json, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn any_documentation_is_safe(address: String) {
            let response = Problem::KeyMissing.into_response(Some(&address));
            prop_assert_eq!(response.headers().contains_key("link"), valid_documentation(&address));
        }

        #[test]
        fn valid_documentation_always_links(address in "[!-~]{1,40}") {
            let response = Problem::KeyMissing.into_response(Some(&address));
            prop_assert_eq!(response.headers().contains_key("link"), valid_documentation(&address));
        }
    }
}
