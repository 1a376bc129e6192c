//! axum-extra's extractors and typed routes, multipart, validation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::{FromRef, Multipart, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use axum_extra::TypedHeader;
use axum_extra::headers::UserAgent;
use axum_extra::routing::TypedPath;
use axum_typed_multipart::{TryFromMultipart, TypedMultipart};
use axum_valid::Garde;
use cratestack_runtime::testing::Service;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use garde::Validate;
use serde::Deserialize;
use serde_json::json;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    runs: Arc<AtomicU32>,
    /// What axum-valid takes its context from.
    no_context: (),
}

fn service(router: fn() -> Router<App>) -> (Service<MemoryStore>, Arc<AtomicU32>) {
    let runs = Arc::new(AtomicU32::new(0));
    let outside = Arc::clone(&runs);
    let service = Service::new(MemoryStore::new(), move |idempotency| {
        router().with_state(App { idempotency, runs: Arc::clone(&outside), no_context: () })
    });
    (service, runs)
}

#[tokio::test]
async fn a_typed_header_is_an_argument_as_any_other() {
    #[idempotent(fingerprint = (agent.as_str(), &body))]
    async fn pay(
        State(runs): State<Arc<AtomicU32>>,
        TypedHeader(agent): TypedHeader<UserAgent>,
        body: String,
    ) -> String {
        runs.fetch_add(1, Ordering::SeqCst);
        format!("{body} by {agent}")
    }
    let (service, runs) = service(|| Router::new().route("/payments", post(pay)));
    let payment = service.post("/payments").key("k1").body("5");
    let [first, _] = payment.clone().header("user-agent", "till").twice().await;
    assert_eq!(first.text(), "5 by till");
    let other = payment.clone().header("user-agent", "phone").send().await;
    assert_eq!(other.problem_code().as_deref(), Some("idempotency_key_conflict"));
    let without = payment.send().await;
    assert_eq!(without.status(), 400, "its own rejection: {without:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// `typed_post` asks of a handler's first argument that it is the path; a guarded handler's is the guard.
#[tokio::test]
async fn a_typed_path_is_an_argument_and_its_route_is_named_by_its_path() {
    #[derive(Deserialize, TypedPath)]
    #[typed_path("/orders/{order}/payments")]
    struct Payments {
        order: u64,
    }

    #[idempotent]
    async fn pay(Payments { order }: Payments, body: String) -> String {
        format!("{body} for {order}")
    }
    let (service, _) = service(|| Router::new().route(Payments::PATH, post(pay)));
    let [first, _] = service.post("/orders/7/payments").key("k1").body("5").twice().await;
    assert_eq!(first.text(), "5 for 7");
    let other = service.post("/orders/8/payments").key("k1").body("5").send().await;
    assert_eq!(other.status(), 422, "the path is part of the request: {other:?}");
}

fn form(boundary: &str, amount: &str) -> (String, String) {
    let body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n{amount}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"receipt\"; filename=\"r.txt\"\r\n\r\npaid\r\n--{boundary}--\r\n"
    );
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// Every client library makes a new boundary for each try, so the bytes of a retry differ.
#[tokio::test]
async fn multipart_is_replayed_byte_for_byte_and_another_boundary_is_another_request() {
    async fn read(runs: &AtomicU32, mut form: Multipart) -> Result<String, StatusCode> {
        runs.fetch_add(1, Ordering::SeqCst);
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await.map_err(|_| StatusCode::BAD_REQUEST)? {
            parts.push(field.text().await.map_err(|_| StatusCode::BAD_REQUEST)?);
        }
        Ok(parts.join(" "))
    }

    #[idempotent]
    async fn pay(State(runs): State<Arc<AtomicU32>>, form: Multipart) -> Result<String, StatusCode> {
        read(&runs, form).await
    }

    #[idempotent]
    async fn pay_extra(form: axum_extra::extract::Multipart) -> Result<String, StatusCode> {
        let mut form = form;
        let field = form.next_field().await.map_err(|_| StatusCode::BAD_REQUEST)?.ok_or(StatusCode::BAD_REQUEST)?;
        field.text().await.map_err(|_| StatusCode::BAD_REQUEST)
    }

    let (service, runs) = service(|| Router::new().route("/axum", post(pay)).route("/extra", post(pay_extra)));
    for (path, expected) in [("/axum", "5 paid"), ("/extra", "5")] {
        let (kind, body) = form("aaa", "5");
        let [first, _] = service.post(path).key(path).header("content-type", &kind).body(body).twice().await;
        assert_eq!(first.text(), expected);
        let (kind, body) = form("bbb", "5");
        let retry = service.post(path).key(path).header("content-type", &kind).body(body).send().await;
        assert_eq!(retry.problem_code().as_deref(), Some("idempotency_key_conflict"), "{retry:?}");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// What the form says is what must match.
#[tokio::test]
async fn a_form_that_an_extractor_has_read_is_compared_by_its_fields() {
    #[derive(TryFromMultipart)]
    struct Payment {
        amount: u32,
        receipt: axum::body::Bytes,
    }

    #[idempotent(fingerprint = (form.amount, &form.receipt[..]))]
    async fn pay(State(runs): State<Arc<AtomicU32>>, TypedMultipart(form): TypedMultipart<Payment>) -> String {
        runs.fetch_add(1, Ordering::SeqCst);
        format!("paid {} for {} bytes", form.amount, form.receipt.len())
    }
    let (service, runs) = service(|| Router::new().route("/payments", post(pay)));
    let send = async |boundary: &str, amount: &str| {
        let (kind, body) = form(boundary, amount);
        service.post("/payments").key("k1").header("content-type", &kind).body(body).send().await
    };
    let (first, retry, other) = (send("aaa", "5").await, send("bbb", "5").await, send("bbb", "6").await);
    assert_eq!(first.text(), "paid 5 for 4 bytes");
    assert!(retry.is_replay() && retry.body() == first.body(), "{retry:?}");
    assert_eq!(other.problem_code().as_deref(), Some("idempotency_key_conflict"));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// What is refused uses up no key: the corrected request may have it.
#[tokio::test]
async fn validation_comes_before_the_key() {
    #[derive(Deserialize, Validate)]
    struct Payment {
        #[garde(range(min = 1))]
        amount: u32,
    }

    #[idempotent(fingerprint = payment.amount)]
    async fn pay(State(runs): State<Arc<AtomicU32>>, Garde(Json(payment)): Garde<Json<Payment>>) -> String {
        runs.fetch_add(1, Ordering::SeqCst);
        format!("paid {}", payment.amount)
    }
    let (service, runs) = service(|| Router::new().route("/payments", post(pay)));
    let payment = service.post("/payments").key("k1");
    let refused = payment.clone().json(&json!({"amount": 0})).send().await;
    assert_eq!((refused.status().as_u16(), refused.problem_code()), (400, None), "garde's own: {refused:?}");
    let [first, _] = payment.clone().json(&json!({"amount": 5})).twice().await;
    assert_eq!(first.text(), "paid 5");
    let refused = payment.json(&json!({"amount": 0})).send().await;
    assert_eq!((refused.status().as_u16(), refused.problem_code()), (400, None), "no replay comes before it");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
