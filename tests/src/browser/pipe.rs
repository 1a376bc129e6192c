//! The `DevTools` protocol over a pipe: messages in JSON, a zero byte after each.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStdin, ChildStdout},
    sync::oneshot,
    time::timeout,
};

/// A first start on a busy machine takes the longest.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Pipe {
    to: tokio::sync::Mutex<ChildStdin>,
    next: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    events: Vec<Value>,
    ended: bool,
}

/// The page was left while it was asked: that is no value. Whoever waits for one asks the next page.
const LEFT: &str = "Inspected target navigated or closed";

impl Pipe {
    pub(super) fn over(to: ChildStdin, from: ChildStdout) -> Arc<Self> {
        let pipe = Arc::new(Self { to: to.into(), next: AtomicU64::new(1), seen: Mutex::default() });
        let reader = Arc::downgrade(&pipe);
        tokio::spawn(async move {
            let mut from = BufReader::new(from);
            let mut message = Vec::new();
            while from.read_until(0, &mut message).await.is_ok_and(|read| read > 0) {
                let Some(pipe) = reader.upgrade() else { return };
                message.pop();
                pipe.take(serde_json::from_slice(&message).unwrap_or_default());
                message.clear();
            }
            if let Some(pipe) = reader.upgrade() {
                let mut seen = pipe.seen();
                seen.ended = true;
                // Dropping the senders tells those who wait.
                seen.waiting.clear();
            }
        });
        pipe
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, message: Value) {
        let mut seen = self.seen();
        match message["id"].as_u64() {
            Some(id) => {
                if let Some(waiting) = seen.waiting.remove(&id) {
                    let _ = waiting.send(message);
                }
            }
            None => seen.events.push(message),
        }
    }

    pub(super) async fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let (answered, answer) = oneshot::channel();
        {
            let mut seen = self.seen();
            assert!(!seen.ended, "{method}: the browser has ended");
            seen.waiting.insert(id, answered);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.to.lock().await.write_all(&bytes).await.expect("the browser reads");
        let answer = timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{method}: no answer"));
        let mut answer = answer.unwrap_or_else(|_| panic!("{method}: the browser has ended"));
        if answer["error"]["message"] == LEFT {
            return Value::Null;
        }
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }

    pub(super) fn events(&self, session: &str, method: &str) -> Vec<Value> {
        let seen = self.seen();
        let wanted = seen.events.iter().filter(|event| event["sessionId"] == session && event["method"] == method);
        wanted.map(|event| event["params"].clone()).collect()
    }
}
