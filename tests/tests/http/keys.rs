//! The header's grammar, as a client meets it.

use axum::http::{HeaderValue, StatusCode};

use crate::app::{App, keyless, request};

const BODY: &str = r#"{"amount":100}"#;

#[tokio::test]
async fn both_spellings_are_one_key() {
    let app = App::new();
    assert!(!app.send(request("8e03978e", "/payments", BODY)).await.is_replay());
    for spelling in [r#""8e03978e""#, r#" "8e03978e" "#, r#""8e03978e";a=1;b"#, r#""8e03978e"; x="y,z""#] {
        assert!(app.send(request(spelling, "/payments", BODY)).await.is_replay(), "{spelling}");
    }
    assert_eq!(app.effects(), 1);
    assert!(!app.send(request(r#""8E03978E""#, "/payments", BODY)).await.is_replay(), "keys have a case");
}

#[tokio::test]
async fn a_malformed_key_is_400_and_nothing_runs() {
    let app = App::new();
    let long = "k".repeat(256);
    let quoted = format!("\"{long}\"");
    let malformed: &[&[u8]] = &[
        b"",
        b"   ",
        b"\"\"",
        b"\"  \"",
        "\u{fc}ber".as_bytes(),
        "\"\u{fc}ber\"".as_bytes(),
        b"\xff\xfe",
        long.as_bytes(),
        quoted.as_bytes(),
        b"\"8e03",
        b"8e03\"",
        b"\"8e03\\\"",
        b"\"8e\\03\"",
        b"\"a\", \"b\"",
        b"a,b",
        b"a b",
        b"a;b=1",
        b"\"a\";",
        b"\"a\";=1",
        b"\"a\";B=1",
        b"\"a\" b",
        b"\"a\"b",
        b"\"a\tb\"",
    ];
    for value in malformed {
        let mut request = keyless("/payments", BODY, |request| request);
        request.headers_mut().insert("idempotency-key", HeaderValue::from_bytes(value).unwrap());
        let answer = app.send(request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", String::from_utf8_lossy(value));
        assert_eq!(answer.code(), "idempotency_key_invalid");
    }
    let twice =
        keyless("/payments", BODY, |request| request.header("idempotency-key", "a").header("idempotency-key", "a"));
    assert_eq!(app.send(twice).await.code(), "idempotency_key_invalid");
    assert_eq!(app.effects(), 0);
    let optional = app.send(request("a,b", "/optional", BODY)).await;
    assert_eq!(optional.status, StatusCode::BAD_REQUEST, "optional is not a licence to be malformed");
}

#[tokio::test]
async fn keys_of_255_characters_are_keys() {
    let app = App::new();
    let key = "k".repeat(255);
    assert_eq!(app.send(request(&key, "/payments", BODY)).await.status, StatusCode::CREATED);
    assert!(app.send(request(&format!("\"{key}\""), "/payments", BODY)).await.is_replay());
    let escaped = format!("\"{}\"", "\\\"".repeat(255));
    assert_eq!(app.send(request(&escaped, "/payments", BODY)).await.status, StatusCode::CREATED);
}
