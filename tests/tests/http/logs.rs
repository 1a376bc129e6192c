//! What the log says of a guarded request, and what it never says.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use cratestack_runtime::{Idempotency, MemoryStore};
use tracing::Subscriber;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Registry;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::app::{App, request};

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    pub fn subscriber(&self, filter: &str) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_span_events(FmtSpan::NEW)
            .with_writer(self.clone())
            .finish()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Lets a subscriber hear what this thread logs, until what this returns is dropped.
///
/// There is a global one beside it, which hears everything and keeps nothing: else a place in the code whose first
/// event is on a thread without a subscriber may be taken for one that interests nobody, on any thread.
pub fn listen(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    // It is there already, if another test was first.
    let _ = tracing::subscriber::set_global_default(Registry::default());
    tracing::subscriber::set_default(subscriber)
}

#[tokio::test]
async fn names_and_fields_are_stable_and_no_secret_is_in_clear() {
    let log = Log::default();
    let _guard = listen(log.subscriber("cratestack_runtime=trace"));
    let app = App::over(Idempotency::new(MemoryStore::new()));
    let body = r#"{"amount":4711, "note":"body-secret"}"#;
    app.send(request("key-secret", "/payments", body)).await;
    app.send(request("key-secret", "/payments", body)).await;
    app.send(request("key-secret", "/payments?fail=500", body)).await;
    app.send(request("panic-secret", "/payments?panic=true", body)).await;
    let running = app.hold().await;
    app.send(crate::app::held()).await;
    app.gate.notify_one();
    running.await.unwrap();
    let mut nobody = request("key-secret", "/payments", body);
    nobody.headers_mut().remove("authorization");
    app.send(nobody).await;

    let text = log.text();
    for outcome in ["reserved", "recorded", "replayed", "conflict", "panicked", "released", "in_flight"] {
        assert!(text.contains(&format!("outcome=\"{outcome}\"")), "{outcome} is missing:\n{text}");
    }
    for field in ["key=", "principal=", "attempt=1", "age_ms=", "status=201"] {
        assert!(text.contains(field), "{field} is missing:\n{text}");
    }
    assert!(text.contains("idempotent{key="), "the handler runs in a span of its own:\n{text}");
    assert!(text.contains("into_make_service_with_connect_info"), "a misconfiguration names its fix:\n{text}");
    for secret in ["key-secret", "panic-secret", "k1\"", "alice", "Bearer", "body-secret", "4711", "/payments/1"] {
        assert!(!text.contains(secret), "{secret} is in the log:\n{text}");
    }
}

/// The key's is computed with Python's `hashlib`.
#[tokio::test]
async fn spans_events_and_hooks_show_one_and_the_same_digest() {
    const KEY: &str = "d77da8028f3c5a13";
    let log = Log::default();
    let _guard = listen(log.subscriber("cratestack_runtime=debug"));
    let told: Arc<Mutex<Vec<(String, String, u32)>>> = Arc::default();
    let hooked = Arc::clone(&told);
    let idempotency = Idempotency::new(MemoryStore::new()).on_event(move |event| {
        hooked.lock().unwrap().push((event.key.to_owned(), event.principal.to_owned(), event.attempt));
    });
    let app = App::over(idempotency);
    let key = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    for _ in 0..2 {
        app.send(request(key, "/payments", r#"{"amount":100}"#)).await;
    }
    let told = told.lock().unwrap();
    assert_eq!(
        told.iter().map(|(.., attempt)| *attempt).collect::<Vec<_>>(),
        [1, 1, 0],
        "reserved, recorded, replayed"
    );
    let (_, principal, _) = &told[0];
    assert_eq!(principal.len(), 16);
    assert_ne!(principal, KEY);
    assert!(told.iter().all(|(key, of, _)| key == KEY && of == principal), "{told:?}");
    let text = log.text();
    for line in text.lines().filter(|line| line.contains("key=")) {
        assert!(line.contains(&format!("key=\"{KEY}\"")), "{line}");
        assert!(line.contains(&format!("principal=\"{principal}\"")), "{line}");
    }
    assert!(text.lines().filter(|line| line.contains("outcome=")).count() == 3, "{text}");
    assert!(text.lines().any(|line| line.contains("idempotent{key=") && line.contains("attempt=1")), "{text}");
}

/// A hook is told the same where nobody reads the log.
#[tokio::test]
async fn a_hook_is_told_without_a_log() {
    let log = Log::default();
    let _guard = listen(log.subscriber("off"));
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let hooked = Arc::clone(&told);
    let idempotency = Idempotency::new(MemoryStore::new())
        .on_event(move |event| hooked.lock().unwrap().push(format!("{} {}", event.kind.as_str(), event.key)));
    let app = App::over(idempotency);
    app.send(request("8e03978e-40d5-43dd-bc93-6894a57f9324", "/payments", r#"{"amount":100}"#)).await;
    assert_eq!(*told.lock().unwrap(), ["reserved d77da8028f3c5a13", "recorded d77da8028f3c5a13"]);
    assert_eq!(log.text(), "");
}
