//! What counts as the same request, and what does not: docs/clients.md has a table of it.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};

use crate::client::{Answer, RequestBuilder};
use crate::stage::KEY;
use crate::till::Till;

const PAYMENT: &str = r#"{"amount":1200,"currency":"EUR"}"#;

struct Payer {
    till: Till,
}

impl Payer {
    /// Of one payment, made already.
    async fn new(path: &str) -> Self {
        let payer = Self { till: Till::start(&[]).await };
        let first = payer.send(payer.request(path, PAYMENT)).await;
        assert_eq!((first.status.as_u16(), first.is_replay()), (201, false), "{first:?}");
        payer
    }

    fn bare(&self, path: &str, body: impl Into<Bytes>) -> RequestBuilder {
        self.till.client().post(path).body(body)
    }

    fn request(&self, path: &str, body: impl Into<Bytes>) -> RequestBuilder {
        self.bare(path, body).key(KEY).header("content-type", "application/json")
    }

    async fn send(&self, request: RequestBuilder) -> Answer {
        request.send().await.expect("the till answers")
    }

    async fn assert_same(&self, what: &str, request: RequestBuilder) {
        let answer = self.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.is_replay()), (201, true), "{what}: {answer:?}");
        assert_eq!(self.till.effects().await, 1, "{what}");
    }

    async fn assert_other(&self, what: &str, request: RequestBuilder) {
        let answer = self.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "idempotency_key_conflict"), "{what}");
        assert_eq!(self.till.effects().await, 1, "{what}");
    }
}

#[tokio::test]
async fn other_bytes_are_another_request() {
    let payer = Payer::new("/payments").await;
    for (what, body) in [
        ("other members", r#"{"amount":1200,"currency":"EUR","note":""}"#),
        ("their order", r#"{"currency":"EUR","amount":1200}"#),
        ("whitespace", r#"{"amount": 1200, "currency": "EUR"}"#),
        ("a line's end", "{\"amount\":1200,\"currency\":\"EUR\"}\n"),
        ("how a string is written", r#"{"amount":1200,"currency":"\u0045UR"}"#),
    ] {
        payer.assert_other(what, payer.request("/payments", body)).await;
    }
    payer.assert_other("the query", payer.request("/payments?source=retry", PAYMENT)).await;
    let utf8 = payer.bare("/payments", PAYMENT).key(KEY).header("content-type", "application/json; charset=utf-8");
    payer.assert_other("the content type", utf8).await;
    payer.assert_same("and nothing of that has used the key up", payer.request("/payments", PAYMENT)).await;
}

#[tokio::test]
async fn other_headers_are_the_same_request() {
    let payer = Payer::new("/payments").await;
    for (name, value) in [
        ("user-agent", "another/2.0"),
        ("accept", "application/problem+json"),
        ("accept-encoding", "zstd"),
        ("via", "1.1 proxy"),
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("x-request-id", "another"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("date", "Tue, 15 Nov 1994 08:12:31 GMT"),
        // It says how to read the body, and is no part of the fingerprint.
        ("content-language", "de"),
    ] {
        payer.assert_same(name, payer.request("/payments", PAYMENT).header(name, value)).await;
    }
    let quoted = payer.bare("/payments", PAYMENT).key(&format!("\"{KEY}\"")).header("content-type", "application/json");
    payer.assert_same("the key's other spelling", quoted).await;
    let chunked = format!(
        "POST /payments HTTP/1.1\r\nHost: till\r\nConnection: close\r\nIdempotency-Key: {KEY}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{PAYMENT}\r\n0\r\n\r\n",
        PAYMENT.len()
    );
    let answer = payer.till.client().raw(chunked.as_bytes()).await.expect("the till answers");
    assert_eq!(answer.status, Some(201), "{answer:?}");
    assert!(answer.text.contains("idempotency-replayed: true"), "a body in chunks is the same body: {answer:?}");
    assert_eq!(payer.till.effects().await, 1);
}

/// The one change that is neither refused nor replayed: it is somebody else's key, and it runs.
#[tokio::test]
async fn another_credential_is_another_caller() {
    let payer = Payer::new("/payments").await;
    let answer = payer.send(payer.request("/payments", PAYMENT).header("authorization", "Bearer renewed")).await;
    assert_eq!((answer.status.as_u16(), answer.is_replay()), (201, false), "{answer:?}");
    assert_eq!(payer.till.effects().await, 2);
}

#[tokio::test]
async fn a_proxy_that_drops_the_key_costs_nothing() {
    let payer = Payer::new("/payments").await;
    let answer = payer.send(payer.bare("/payments", PAYMENT).header("content-type", "application/json")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "idempotency_key_missing"), "{answer:?}");
    assert_eq!(payer.till.effects().await, 1);
}

/// As a compressor writes it at this time, in seconds.
fn gzip(time: u32) -> Vec<u8> {
    let mut gzip = GzBuilder::new().mtime(time).write(Vec::new(), Compression::default());
    gzip.write_all(PAYMENT.as_bytes()).expect("memory can be written");
    gzip.finish().expect("memory can be written")
}

#[tokio::test]
async fn a_compressed_body_is_what_the_layer_above_the_guard_makes_of_it() {
    assert_ne!(gzip(1), gzip(2), "a compressor that writes the time writes other bytes each time");
    let payer = Payer::new("/unpacked").await;
    for time in [1, 2] {
        let compressed = payer.request("/unpacked", gzip(time)).header("content-encoding", "gzip");
        payer.assert_same("with a layer that unpacks it", compressed).await;
    }
}

/// An extractor of JSON refuses it.
#[tokio::test]
async fn a_compressed_body_that_nothing_unpacks_costs_no_key() {
    let payer = Payer { till: Till::start(&[]).await };
    let compressed = payer.request("/payments", gzip(1)).header("content-encoding", "gzip");
    assert_eq!(payer.send(compressed).await.status.as_u16(), 400);
    assert_eq!(payer.till.effects().await, 0);
    let first = payer.send(payer.request("/payments", PAYMENT)).await;
    assert_eq!((first.status.as_u16(), first.is_replay()), (201, false), "{first:?}");
}

#[tokio::test]
async fn bytes_that_nothing_unpacks_are_compared_as_they_came() {
    let payer = Payer { till: Till::start(&[]).await };
    let compressed = |time| payer.request("/bytes", gzip(time)).header("content-encoding", "gzip");
    assert_eq!(payer.send(compressed(1)).await.status.as_u16(), 201);
    payer.assert_same("the same bytes", compressed(1)).await;
    payer.assert_other("compressed anew", compressed(2)).await;
}
