//! One test per line of the table.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use cratestack_runtime::{Idempotency, MemoryStore};

use crate::app::{App, held, keyless, request};

const BODY: &str = r#"{"amount":100}"#;

#[tokio::test]
async fn a_first_request_gets_the_handlers_response() {
    let app = App::new();
    let first = app.send(request("k1", "/payments", BODY)).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.header("location"), Some("/payments/1"));
    assert!(!first.is_replay());
    assert_eq!(app.effects(), 1);
}

#[tokio::test]
async fn a_finished_request_is_replayed_byte_for_byte() {
    let app = App::new();
    let first = app.send(request("k1", "/payments", BODY)).await;
    let mut again = app.send(request("k1", "/payments", BODY)).await;
    assert!(again.is_replay());
    assert_eq!(again.status, first.status);
    assert_eq!(again.body, first.body);
    again.headers.remove("idempotency-replayed");
    assert_eq!(again.headers, first.headers);
    assert_eq!(app.effects(), 1);
}

#[tokio::test]
async fn an_error_of_the_handler_is_an_outcome_like_any_other() {
    let app = App::new();
    let first = app.send(request("k1", "/payments?fail=503", BODY)).await;
    let again = app.send(request("k1", "/payments?fail=503", BODY)).await;
    assert_eq!((first.status, first.is_replay()), (StatusCode::SERVICE_UNAVAILABLE, false));
    assert_eq!((again.status, again.is_replay()), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert_eq!(again.body, first.body);
    assert_eq!(app.effects(), 1);
}

#[tokio::test]
async fn a_running_request_is_409_with_retry_after() {
    let app = App::new();
    let running = app.hold().await;
    let second = app.send(held()).await;
    assert_eq!(second.status, StatusCode::CONFLICT);
    assert_eq!(second.code(), "idempotency_request_in_flight");
    assert_eq!(second.header("retry-after"), Some("1"));
    app.gate.notify_one();
    assert_eq!(running.await.unwrap().status, StatusCode::CREATED);
    assert_eq!(app.effects(), 1);
}

#[tokio::test]
async fn another_request_under_the_key_is_422() {
    let app = App::new();
    app.send(request("k1", "/payments", BODY)).await;
    let other_body = app.send(request("k1", "/payments", r#"{"amount":200}"#)).await;
    let other_query = app.send(request("k1", "/payments?wait=false", BODY)).await;
    let mut other_method = request("k1", "/payments", BODY);
    *other_method.method_mut() = axum::http::Method::PUT;
    let other_method = app.send(other_method).await;
    for answer in [other_body, other_query, other_method] {
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.code(), "idempotency_key_conflict");
    }
    assert_eq!(app.effects(), 1);
}

#[tokio::test]
async fn a_missing_key_is_400_unless_optional() {
    let app = App::new();
    let missing = app.send(keyless("/payments", BODY, |request| request)).await;
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    assert_eq!(missing.code(), "idempotency_key_missing");
    assert_eq!(app.effects(), 0);
    for effects in 1..=2 {
        let unguarded = app.send(keyless("/optional", BODY, |request| request)).await;
        assert_eq!((unguarded.status, app.effects()), (StatusCode::CREATED, effects));
    }
    app.send(request("k1", "/optional", BODY)).await;
    assert!(app.send(request("k1", "/optional", BODY)).await.is_replay());
    assert_eq!(app.effects(), 3);
}

#[tokio::test]
async fn without_a_verifiable_caller_it_is_500() {
    let app = App::new();
    for authorization in [None, Some(""), Some("  ")] {
        let mut nobody = request("k1", "/payments", BODY);
        nobody.headers_mut().remove("authorization");
        nobody.headers_mut().insert("x-forwarded-for", "10.0.0.1".parse().unwrap());
        nobody.headers_mut().insert("forwarded", "for=10.0.0.1".parse().unwrap());
        if let Some(value) = authorization {
            nobody.headers_mut().insert("authorization", value.parse().unwrap());
        }
        let refused = app.send(nobody).await;
        assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(refused.code(), "idempotency_caller_unknown");
    }
    assert_eq!(app.effects(), 0);
}

#[tokio::test]
async fn callers_never_see_each_others_keys() {
    let app = App::new();
    let from = |peer: &str, authorization: Option<&'static str>| {
        let mut request = request("k1", "/payments", BODY);
        request.headers_mut().remove("authorization");
        if let Some(value) = authorization {
            request.headers_mut().insert("authorization", value.parse().unwrap());
        }
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    };
    let callers = [
        from("192.0.2.1:1000", None),
        from("192.0.2.2:1000", None),
        from("[2001:db8::1]:1000", None),
        from("192.0.2.1:1000", Some("Bearer alice")),
        from("192.0.2.1:1000", Some("Bearer bob")),
        from("192.0.2.1:1000", Some("Bearer b\u{f6}b")),
    ];
    for caller in callers {
        assert!(!app.send(caller).await.is_replay());
    }
    assert_eq!(app.effects(), 6);
    assert!(app.send(from("192.0.2.1:2000", None)).await.is_replay(), "the port is not the caller");
    assert!(
        app.send(from("192.0.2.9:1000", Some("Bearer bob"))).await.is_replay(),
        "nor is the address of one we know"
    );
    assert_eq!(app.effects(), 6);
}

#[tokio::test]
async fn an_identity_of_ones_own_replaces_the_default() {
    let idempotency = Idempotency::new(MemoryStore::new())
        .principal(|request| request.headers.get("x-tenant")?.to_str().ok().map(ToOwned::to_owned));
    let app = App::over(idempotency);
    let of = |tenant: &'static str| {
        let mut request = request("k1", "/payments", BODY);
        request.headers_mut().insert("x-tenant", tenant.parse().unwrap());
        request
    };
    assert!(!app.send(of("a")).await.is_replay());
    assert!(!app.send(of("b")).await.is_replay());
    assert!(app.send(of("a")).await.is_replay());
    let unknown = app.send(request("k1", "/payments", BODY)).await;
    assert_eq!(unknown.code(), "idempotency_caller_unknown");
    assert_eq!(app.send(of("")).await.code(), "idempotency_caller_unknown", "an empty name is nobody's");
}

#[tokio::test]
async fn a_mocked_peer_is_a_peer() {
    let app = App::new();
    let peer: SocketAddr = "192.0.2.1:1000".parse().unwrap();
    let router = app.router().layer(axum::extract::connect_info::MockConnectInfo(peer));
    let ask = || {
        let mut request = request("k1", "/payments", BODY);
        request.headers_mut().remove("authorization");
        request
    };
    assert_eq!(crate::app::send(router.clone(), ask()).await.status, StatusCode::CREATED);
    assert!(crate::app::send(router, ask()).await.is_replay());
}

#[tokio::test]
async fn an_extractors_rejection_is_its_own_and_costs_no_key() {
    let app = App::new();
    let broken = app.send(request("k1", "/payments", r#"{"amount":"#)).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    let untyped = app.send(request("k1", "/payments", r#"{"amount":"x"}"#)).await;
    assert_eq!(untyped.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_ne!(untyped.header("content-type"), Some("application/problem+json"));
    assert_eq!(app.send(request("k1", "/payments?wait=maybe", BODY)).await.status, StatusCode::BAD_REQUEST);
    let good = app.send(request("k1", "/payments", BODY)).await;
    assert_eq!((good.status, good.is_replay()), (StatusCode::CREATED, false));
    let rejected = app.send(request("k1", "/payments", r#"{"amount":"x"}"#)).await;
    assert_eq!(rejected.status, StatusCode::UNPROCESSABLE_ENTITY, "a rejection comes before any replay or conflict");
    assert_ne!(rejected.header("content-type"), Some("application/problem+json"));
}

#[tokio::test]
async fn safe_methods_pass_unguarded() {
    let app = App::new();
    for effects in 1..=2 {
        let mut get = request("k1", "/payments", BODY);
        *get.method_mut() = axum::http::Method::GET;
        let answer = app.send(get).await;
        assert_eq!((answer.status, answer.is_replay(), app.effects()), (StatusCode::CREATED, false, effects));
    }
    let mut keyless = request("k1", "/payments", BODY);
    *keyless.method_mut() = axum::http::Method::GET;
    keyless.headers_mut().remove("idempotency-key");
    assert_eq!(app.send(keyless).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn problems_link_to_the_documentation() {
    let address = "https://docs.example.com/idempotency";
    let app = App::over(Idempotency::new(MemoryStore::new()).documentation_url(address));
    let missing = app.send(keyless("/payments", BODY, |request| request)).await;
    assert_eq!(missing.header("link"), Some(r#"<https://docs.example.com/idempotency>; rel="describedby""#));
    assert_eq!(missing.json()["type"], format!("{address}#idempotency_key_missing"));
    let broken = App::over(Idempotency::new(MemoryStore::new()).documentation_url("https://x>; rel=evil"));
    let missing = broken.send(keyless("/payments", BODY, |request| request)).await;
    assert_eq!((missing.header("link"), missing.code().as_str()), (None, "idempotency_key_missing"));
}
