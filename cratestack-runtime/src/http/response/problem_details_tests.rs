use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::mem::discriminant;
use std::path::Path;
use std::sync::Arc;

use axum::response::IntoResponse;
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::accept::Representation;
use super::super::documentation::valid_documentation;
use super::super::problem_kind::{ProblemKind, Retry};
use super::*;
use crate::http::identity::KeyError;

/// Every problem, as often as the compiler counts, with its code, status, recommended phrase, and whether and when to
/// send the request again, which clients rely on.
const PINNED: [(ProblemKind, &str, u16, &str, Retry); ProblemKind::COUNT] = [
    (ProblemKind::KeyMissing, "idempotency_key_missing", 400, "Bad Request", Retry::OnceMended),
    (ProblemKind::KeyAbsent, "idempotency_key_missing", 400, "Bad Request", Retry::OnceMended),
    (ProblemKind::KeyInvalid(KeyError::Empty), "idempotency_key_invalid", 400, "Bad Request", Retry::OnceMended),
    (ProblemKind::KeyConflict, "idempotency_key_conflict", 422, "Unprocessable Content", Retry::OnceMended),
    (ProblemKind::RequestInFlight, "idempotency_request_in_flight", 409, "Conflict", Retry::After(1)),
    (
        ProblemKind::RequestTooLarge { limit: Some(2_097_152) },
        "idempotency_request_too_large",
        413,
        "Content Too Large",
        Retry::OnceMended,
    ),
    (ProblemKind::RequestIncomplete, "idempotency_request_incomplete", 400, "Bad Request", Retry::AtOnce),
    (ProblemKind::CallerUnknown, "idempotency_caller_unknown", 500, "Internal Server Error", Retry::OnceMended),
    (ProblemKind::StoreUnavailable, "idempotency_store_unavailable", 503, "Service Unavailable", Retry::After(5)),
    (ProblemKind::Overloaded, "idempotency_overloaded", 503, "Service Unavailable", Retry::After(1)),
    (ProblemKind::NoReservation, "idempotency_no_reservation", 500, "Internal Server Error", Retry::OnceMended),
    (ProblemKind::RecordDamaged, "idempotency_record_damaged", 500, "Internal Server Error", Retry::OnceLookedInto),
    (ProblemKind::HandlerPanicked, "idempotency_handler_panicked", 500, "Internal Server Error", Retry::OnceLookedInto),
    (ProblemKind::TransactionPanicked, "idempotency_handler_panicked", 500, "Internal Server Error", Retry::After(5)),
    (
        ProblemKind::ResponseNotReplayable { original_status: 201 },
        "idempotency_response_not_replayable",
        409,
        "Conflict",
        Retry::OnceLookedInto,
    ),
    (ProblemKind::ReservationLost, "idempotency_reservation_lost", 409, "Conflict", Retry::After(1)),
    (
        ProblemKind::TransactionRolledBack,
        "idempotency_transaction_rolled_back",
        503,
        "Service Unavailable",
        Retry::After(1),
    ),
    (
        ProblemKind::TransactionTimedOut,
        "idempotency_transaction_timed_out",
        503,
        "Service Unavailable",
        Retry::After(5),
    ),
    (
        ProblemKind::TransactionRefused,
        "idempotency_transaction_refused",
        500,
        "Internal Server Error",
        Retry::OnceMended,
    ),
    (ProblemKind::OutcomeUnknown, "idempotency_outcome_unknown", 503, "Service Unavailable", Retry::After(5)),
    (
        ProblemKind::OutcomeUnknownWithoutKey,
        "idempotency_outcome_unknown",
        503,
        "Service Unavailable",
        Retry::OnceLookedInto,
    ),
];

fn is_retryable(retry: Retry) -> bool {
    matches!(retry, Retry::AtOnce | Retry::After(_))
}

fn problem(kind: ProblemKind, documentation_url: Option<&str>) -> Problem {
    Problem::new(kind, documentation_url.map(Arc::from), Representation::Json)
}

async fn text(problem: Problem) -> (StatusCode, HeaderMap, String) {
    let (parts, body) = problem.into_response().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn read(problem: Problem) -> (StatusCode, HeaderMap, Value) {
    let (status, headers, text) = text(problem).await;
    (status, headers, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn codes_and_statuses_are_pinned() {
    let distinct: HashSet<_> = PINNED.iter().map(|(problem, ..)| discriminant(problem)).collect();
    assert_eq!(distinct.len(), ProblemKind::COUNT);
    for (kind, code, status, phrase, retry) in PINNED {
        let retry_after = if let Retry::After(seconds) = retry { Some(seconds.to_string()) } else { None };
        let (got_status, headers, body) = read(problem(kind, None)).await;
        assert_eq!(got_status, status, "{code}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["vary"], "Accept");
        assert_eq!(headers.get("retry-after").map(|value| value.to_str().unwrap()), retry_after.as_deref(), "{code}");
        assert!(!headers.contains_key("link"));
        assert_eq!(body["type"], "about:blank");
        assert_eq!(body["title"], phrase);
        assert_eq!(body["status"], status);
        assert_eq!(body["code"], code);
        assert_eq!(body["retryable"], is_retryable(retry), "{code}");
        assert!(body["detail"].as_str().unwrap().ends_with('.'), "{code}");
    }
}

#[test]
fn what_a_service_sees_is_what_a_client_sees() {
    for (kind, code, status, _, retry) in PINNED {
        let problem = problem(kind, Some("/docs"));
        let after = if let Retry::After(seconds) = retry { Some(seconds) } else { None };
        assert_eq!((problem.code(), problem.status().as_u16()), (code, status));
        assert_eq!(
            (problem.retryable(), problem.retry_after().map(|after| after.as_secs())),
            (is_retryable(retry), after)
        );
        assert_eq!((problem.documentation_url(), problem.prefers_html()), (Some("/docs"), false));
        assert_eq!(problem.original_status().is_some(), matches!(kind, ProblemKind::ResponseNotReplayable { .. }));
        let document: Value = serde_json::from_str(&problem.json()).unwrap();
        assert_eq!(
            (document["title"].as_str(), document["detail"].as_str()),
            (Some(problem.title()), Some(&*problem.detail()))
        );
    }
}

/// What a program may send again by itself does nothing twice: each of these says that this attempt did nothing, or
/// that a retry gets its outcome. What was executed, or may have been, sends nobody but a person.
#[test]
fn what_may_be_sent_again_says_why() {
    for (kind, code, _, _, retry) in PINNED {
        let detail = problem(kind, None).detail();
        let says = |words: &[&str]| words.iter().any(|words| detail.contains(words));
        let is_harmless = says(&["executed nothing", "changed nothing", "to get its outcome"]);
        match retry {
            Retry::AtOnce | Retry::After(_) => {
                assert!(is_harmless && says(&["Retry", "Send the request again"]), "{code}: {detail}");
            }
            Retry::OnceLookedInto => assert!(!is_harmless && says(&["look", "Check", "Read"]), "{code}: {detail}"),
            Retry::OnceMended => {}
        }
    }
}

/// The rows of a table of the page: the cells of each line between this heading and the next.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let section = page.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    let lines = section.lines().take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| "));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.skip(1).map(cells).collect()
}

#[test]
fn the_page_has_every_problem_and_no_other() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/http.md")).unwrap();
    let said: BTreeSet<_> = rows(&page, "### Every problem").into_iter().map(|row| row[..4].to_vec()).collect();
    let expected: BTreeSet<_> = PINNED
        .iter()
        .map(|(_, code, status, _, retry)| {
            let (retryable, after) = match retry {
                Retry::OnceMended | Retry::OnceLookedInto => ("no", "–".to_owned()),
                Retry::AtOnce => ("yes", "–".to_owned()),
                Retry::After(seconds) => ("yes", seconds.to_string()),
            };
            vec![format!("`{code}`"), status.to_string(), retryable.to_owned(), after]
        })
        .collect();
    assert_eq!(said, expected);
}

#[tokio::test]
async fn documentation_becomes_type_title_and_link() {
    for (kind, code, ..) in PINNED {
        let (_, headers, body) = read(problem(kind, Some("https://docs.example/idempotency"))).await;
        assert_eq!(headers["link"], "<https://docs.example/idempotency>; rel=\"describedby\"");
        assert_eq!(body["type"], format!("https://docs.example/idempotency#{code}"));
        assert_eq!(body["title"], kind.describe().title);
    }
}

#[tokio::test]
async fn invalid_documentation_is_left_out() {
    for address in ["", "a>b", "a\r\nset-cookie: b", "a\0", "ü"] {
        let (_, headers, body) = read(problem(ProblemKind::KeyMissing, Some(address))).await;
        assert!(!headers.contains_key("link"));
        assert_eq!(body["type"], "about:blank");
    }
}

#[tokio::test]
async fn members_that_only_some_have() {
    let not_replayable = ProblemKind::ResponseNotReplayable { original_status: 201 };
    let (_, _, body) = read(problem(not_replayable, None)).await;
    assert_eq!(body["original_status"], 201);

    let (_, _, body) = read(problem(ProblemKind::RequestTooLarge { limit: Some(2_097_152) }, None)).await;
    assert!(body["detail"].as_str().unwrap().contains("2097152 bytes"));
    assert_eq!(body.get("original_status"), None);

    let (_, _, body) = read(problem(ProblemKind::KeyInvalid(KeyError::NeedsQuotes), None)).await;
    assert_eq!(body["detail"], KeyError::NeedsQuotes.to_string());
}

#[test]
fn a_tombstone_tells_what_the_handler_answered() {
    for status in [200_u16, 204, 418, 599, 999] {
        let kind = ProblemKind::ResponseNotReplayable { original_status: status };
        let json = problem(kind, Some("/docs")).json();
        assert_eq!(original_status(&json), Some(status));
        // As earlier versions wrote it.
        assert_eq!(original_status(&json.replace(",\"retryable\":false", "")), Some(status));
    }
    for text in
        ["", "original_status", ",\"original_status\":", ",\"original_status\":99", ",\"original_status\":65537"]
    {
        assert_eq!(original_status(text), None, "{text}");
    }
}

#[test]
fn a_whole_document() {
    let problem = problem(ProblemKind::KeyInvalid(KeyError::Repeated), None);
    let document: Value = serde_json::from_str(&problem.json()).unwrap();
    let expected = json!({
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The Idempotency-Key header was sent more than once. Send it once, with one key.",
        "code": "idempotency_key_invalid",
        "retryable": false,
    });
    assert_eq!(document, expected);
}

/// Each page says what its problem says, and nothing of it is markup.
#[tokio::test]
async fn every_problem_is_a_page() {
    for (kind, code, status, phrase, retry) in PINNED {
        let problem = Problem::new(kind, Some(Arc::from("/docs?a='1'&b=2")), Representation::Html);
        let (title, detail) = (problem.title(), problem.detail().into_owned());
        let (got_status, headers, html) = text(problem).await;
        assert_eq!(got_status, status);
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["vary"], "Accept");
        assert_eq!(headers.contains_key("retry-after"), matches!(retry, Retry::After(_)), "{code}");
        let when = match retry {
            Retry::OnceMended => "To send it again as it is does not help".to_owned(),
            Retry::OnceLookedInto => "Look whether it was, before you send it again".to_owned(),
            Retry::AtOnce => "send it again, unchanged, now".to_owned(),
            Retry::After(1) => "send it again, unchanged, in a second".to_owned(),
            Retry::After(seconds) => format!("send it again, unchanged, in {seconds} seconds"),
        };
        for said in [title, &*detail, code, &format!("{status} {phrase}"), &when] {
            assert!(html.contains(&said.replace('\'', "&#39;")), "{said} is not in {html}");
        }
        assert!(html.contains(&format!("href=\"/docs?a=&#39;1&#39;&amp;b=2#{code}\"")), "{html}");
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
        let response = problem(ProblemKind::KeyMissing, Some(&address)).into_response();
        prop_assert_eq!(response.headers().contains_key("link"), valid_documentation(&address));
    }

    #[test]
    fn valid_documentation_always_links(address in "[!-~]{1,40}") {
        let response = problem(ProblemKind::KeyMissing, Some(&address)).into_response();
        prop_assert_eq!(response.headers().contains_key("link"), valid_documentation(&address));
    }
}
