use std::collections::HashSet;
use std::mem::discriminant;

use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::http::identity::KeyError;

/// Every problem, as often as the compiler counts, with its code, status, recommended phrase and `Retry-After`, which
/// clients rely on.
const PINNED: [(Problem, &str, u16, &str, Option<&str>); Problem::COUNT] = [
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

async fn read(response: Response<Body>) -> (StatusCode, http::HeaderMap, Value) {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn codes_and_statuses_are_pinned() {
    let distinct: HashSet<_> = PINNED.iter().map(|(problem, ..)| discriminant(problem)).collect();
    assert_eq!(distinct.len(), Problem::COUNT);
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
        assert_eq!(body["title"], problem.describe().title);
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
    for address in ["https://docs.example/idempotency", "https://[::1]:8080/a?b=c&d", "/docs/%C3%BC", "urn:example:x"] {
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
