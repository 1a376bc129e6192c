//! The examples do what they say: each is started, and the `curl` lines that it prints are sent as they are.

// A test panics where its expectation fails.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::{collections::BTreeSet, fs};

use cratestack_runtime::testing::conformance;
use cratestack_tests::client::RequestBuilder;
use cratestack_tests::{Answer, RedisServer, Service, Settings, TestDatabase};
use http::{Method, StatusCode};

/// Its `main` is not called here.
#[allow(dead_code)]
#[path = "../../examples/own_store.rs"]
mod own_store;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

/// Each is one file, and short enough to be read at a glance.
const SHORT: [&str; 10] =
    ["smallest", "wait", "body_key", "derive", "layer", "own_store", "metrics", "postgres", "redis", "handler_tests"];

/// An example that runs, and the requests that it prints.
struct Example {
    service: Service,
    requests: Vec<RequestBuilder>,
}

impl Example {
    async fn start(settings: Settings) -> Self {
        let service = Service::start(settings).await;
        // All is printed before the first request is served, in more than one write.
        service.client().get("/").send().await.unwrap();
        let printed = service.stdout();
        let requests: Vec<_> =
            printed.lines().filter(|line| line.starts_with("curl ")).map(|line| of_curl(&service, line)).collect();
        assert!(!requests.is_empty(), "it says what to try: {printed}");
        Self { service, requests }
    }

    async fn of(name: &str) -> Self {
        Self::start(Settings::of(name)).await
    }

    /// The first request that it prints, with this body where one is given.
    async fn send(&self, body: Option<&'static str>) -> Answer {
        let request = self.requests[0].clone();
        body.map_or(request.clone(), |body| request.body(body)).send().await.unwrap()
    }

    /// The three answers that every one of them gives: the handler's, its replay, and the refusal of another request.
    async fn assert_is_guarded(&self, first: StatusCode, another: &'static str) -> Answer {
        let [once, twice] = [self.send(None).await, self.send(None).await];
        assert_eq!((once.status, once.is_replay()), (first, false), "{once:?}");
        assert_eq!((twice.status, twice.is_replay(), &twice.body), (first, true, &once.body), "{twice:?}");
        self.assert_conflict(another).await;
        once
    }

    async fn assert_conflict(&self, another: &'static str) {
        let conflict = self.send(Some(another)).await;
        assert_eq!(conflict.status, StatusCode::UNPROCESSABLE_ENTITY, "{conflict:?}");
        assert_eq!(conflict.code(), "idempotency_key_conflict");
    }
}

/// What `curl` would send for a command: of its options those that the examples use, and no others.
fn of_curl(service: &Service, command: &str) -> RequestBuilder {
    let mut words = words(command).into_iter().skip(1);
    let (mut path, mut headers, mut body) = (None, Vec::new(), None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-i" => {}
            "-H" => headers.push(words.next().unwrap()),
            "-d" => {
                headers.push("Content-Type: application/x-www-form-urlencoded".to_owned());
                body = words.next();
            }
            "--json" => {
                headers.push("Content-Type: application/json".to_owned());
                body = words.next();
            }
            url => {
                let host = service.address().to_string();
                let url = url.strip_prefix("http://").unwrap_or(url).strip_prefix(&host);
                path = Some(url.unwrap_or_else(|| panic!("{command}: neither an option nor a path of it")).to_owned());
            }
        }
    }
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let request = service.client().request(method, &path.expect("a URL")).body(body.unwrap_or_default());
    headers.iter().fold(request, |request, header| {
        let (name, value) = header.split_once(": ").unwrap();
        request.header(name, value)
    })
}

/// As a shell splits a line that has no quotes but single ones.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in command.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words
}

#[tokio::test]
async fn smallest() {
    let example = Example::of("smallest").await;
    let first = example.assert_is_guarded(StatusCode::CREATED, r#"{"amount": 6}"#).await;
    assert_eq!(first.json()["amount"], 5);
}

#[tokio::test]
async fn transfer() {
    let example = Example::of("transfer").await;
    let first = example.assert_is_guarded(StatusCode::OK, r#"{"from": "alice", "to": "bob", "amount": 6}"#).await;
    assert_eq!(first.body, r#"{"alice":95,"bob":105}"#);
    let send = async |key: &str, to: &str, amount: u32| {
        let order = serde_json::json!({"from": "alice", "to": to, "amount": amount});
        example.service.client().post("/transfers").key(key).json(&order).send().await.unwrap()
    };
    for refused in [send("t2", "nobody", 5).await, send("t3", "bob", 96).await] {
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
        assert_eq!(refused.body, "no such account, or not enough in it");
    }
    assert_eq!(send("t4", "bob", 95).await.body, r#"{"alice":0,"bob":200}"#, "what was refused has moved nothing");
}

#[tokio::test]
async fn wait() {
    let example = Example::of("wait").await;
    let [one, other] = &example.requests[..] else { panic!("it prints two requests") };
    let (one, other) = tokio::join!(one.send(), other.send());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.status, other.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(one.body, other.body, "there is one payment");
    assert!(one.is_replay() != other.is_replay(), "one has waited for the other: {one:?}, {other:?}");
    example.assert_conflict(r#"{"amount": 6}"#).await;
}

#[tokio::test]
async fn body_key() {
    let example = Example::of("body_key").await;
    let mut answers = Vec::new();
    for request in &example.requests {
        answers.push(request.send().await.unwrap());
    }
    let [first, again, reused] = &answers[..] else { panic!("it prints three requests") };
    assert_eq!((first.status, first.is_replay()), (StatusCode::OK, false), "{first:?}");
    assert_eq!((again.is_replay(), &again.body), (true, &first.body), "only the amount must match: {again:?}");
    assert_eq!((reused.status, reused.code().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_conflict"));
}

#[tokio::test]
async fn derive() {
    let example = Example::of("derive").await;
    let failed = example.send(None).await;
    assert_eq!(
        (failed.status, failed.code().as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "idempotency_handler_panicked")
    );
    let made_good = example.assert_is_guarded(StatusCode::OK, "6").await;
    assert_eq!(&made_good.body[..], b"paid 5; charges at the provider: 1", "the handler has run twice");
}

#[tokio::test]
async fn layer() {
    let example = Example::of("layer").await;
    let first = example.assert_is_guarded(StatusCode::CREATED, r#"{"amount": 6}"#).await;
    assert_eq!(first.json()["amount"], 5);
}

#[tokio::test]
async fn own_store() {
    Example::of("own_store").await.assert_is_guarded(StatusCode::OK, "6").await;
}

#[tokio::test]
async fn the_store_of_ones_own_keeps_the_contract() {
    conformance(|| async { own_store::Shards(Default::default()) }).await.assert();
}

#[tokio::test]
async fn metrics() {
    let example = Example::of("metrics").await;
    example.assert_is_guarded(StatusCode::CREATED, "6").await;
    let counts = example.requests[1].send().await.unwrap();
    let counts = String::from_utf8_lossy(&counts.body).into_owned();
    for event in ["conflict", "recorded", "replayed", "reserved"] {
        let line = format!("idempotency_events_total{{event=\"{event}\"}} 1\n");
        assert!(counts.contains(&line), "{line} is missing in {counts}");
    }
}

#[tokio::test]
async fn postgres() {
    let database = TestDatabase::create().await;
    let example = Example::start(Settings::of("postgres").set("DATABASE_URL", database.url())).await;
    let first = example.assert_is_guarded(StatusCode::CREATED, "6").await;
    assert_eq!(&first.body[..], b"paid 5, payment 1");
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let payments: Vec<String> = sqlx::query_scalar("SELECT amount FROM payments").fetch_all(&pool).await.unwrap();
    assert_eq!(payments, ["5"]);
}

#[tokio::test]
async fn redis() {
    let server = RedisServer::launch().await;
    let settings = Settings::of("redis").redis(&server.url());
    let example = Example::start(settings.clone()).await;
    let first = example.assert_is_guarded(StatusCode::CREATED, r#"{"amount": 6}"#).await;
    assert_eq!(first.json()["amount"], 5);
    let other = Example::start(settings).await.send(None).await;
    assert_eq!((other.is_replay(), &other.body), (true, &first.body), "another process has the same keys: {other:?}");
}

#[tokio::test]
async fn handler_tests() {
    Example::of("handler_tests").await.assert_is_guarded(StatusCode::OK, "6").await;
}

/// As a user runs them. `--workspace`, so that nothing is built anew with other features.
#[test]
fn the_tests_of_handlers_run_and_pass() {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--workspace", "--example", "handler_tests"])
        .current_dir(EXAMPLES)
        .output()
        .expect("cargo runs where it ran to build this test");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("test result: ok. 2 passed"), "{printed}");
}

#[test]
fn an_example_of_one_concept_is_one_file_of_less_than_forty_lines() {
    for name in SHORT {
        let lines = fs::read_to_string(format!("{EXAMPLES}/{name}.rs")).unwrap().lines().count();
        assert!(lines < 40, "{name}.rs has {lines} lines");
    }
}

/// In a table with its command, in a manifest, and on the disk.
#[test]
fn the_readme_has_every_example_and_no_other() {
    let page = fs::read_to_string(format!("{EXAMPLES}/README.md")).unwrap();
    let mut listed = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| [")) {
        let (name, rest) = row[3..].split_once("](").unwrap();
        let (file, rest) = rest.split_once(')').unwrap();
        assert!(Path::new(EXAMPLES).join(file).is_file(), "{file}");
        let commands = ["--example", "--bin"].map(|kind| format!("{kind} {name}` |"));
        assert!(commands.iter().any(|command| rest.contains(command)), "{row}");
        listed.insert(name);
    }
    let manifests = [("Cargo.toml", "[[example]]"), ("functions/Cargo.toml", "[[bin]]")]
        .map(|(file, entry)| (fs::read_to_string(format!("{EXAMPLES}/{file}")).unwrap(), entry));
    let entries = manifests.iter().flat_map(|(manifest, entry)| manifest.split(entry).skip(1));
    let declared: BTreeSet<_> =
        entries.map(|entry| entry.split('"').nth(1).expect("its first line is its name")).collect();
    assert_eq!(listed, declared, "the tables of examples/README.md have what the manifests have");
    let files = fs::read_dir(EXAMPLES).unwrap().map(|entry| entry.unwrap().path());
    let short: BTreeSet<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(short, SHORT.map(str::to_owned).into(), "each file of one concept is run above");
}
