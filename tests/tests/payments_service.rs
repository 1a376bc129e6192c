//! The example service as its clients see it: a process, a socket, a database that comes and goes.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use cratestack_runtime::MAX_BODY_BYTES;
use cratestack_tests::{
    Answer, Client, PostgresServer, RedisOptions, RedisServer, Service, Settings, TestDatabase,
    client::{RawAnswer, RequestBuilder},
    postgres::PostgresOptions,
    redis::Fsync,
    shell,
};
use serde_json::{Value, json};
use tokio::{sync::Barrier, task::JoinSet, time::sleep};

const PAYMENT: &str = r#"{"amount":1200,"currency":"EUR"}"#;

/// Settings for a service on either database, or with keys in Redis, and whatever must outlive it.
struct Setup {
    settings: Settings,
    _database: Option<TestDatabase>,
    _redis: Option<RedisServer>,
}

fn sqlite() -> Setup {
    Setup { settings: Settings::new(), _database: None, _redis: None }
}

async fn postgres() -> Setup {
    let database = TestDatabase::create().await;
    Setup { settings: Settings::new().database(database.url()), _database: Some(database), _redis: None }
}

/// A server of its own: the service's keys have the same names in each test.
async fn redis() -> Setup {
    let redis = RedisServer::launch().await;
    Setup { settings: Settings::new().redis(&redis.url()), _database: None, _redis: Some(redis) }
}

/// One test for each place that keys can be in, over the same body.
macro_rules! everywhere {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::sqlite()).await; })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(super::postgres().await).await; })*
        }
        mod with_keys_in_redis {
            $(#[tokio::test] async fn $name() { super::$name(super::redis().await).await; })*
        }
    };
}

everywhere! {
    the_same_bytes_twice,
    a_replay_survives_kill_9,
    a_hang_up_changes_nothing,
    a_panic_gives_the_key_back,
    a_crash_costs_a_lease_and_a_second_run,
    a_failure_that_the_handler_answers_is_kept,
    another_request_under_the_key_is_refused,
    callers_do_not_share_keys,
    a_browsers_cookies_name_nobody,
    an_order_is_the_marketplaces_whoever_passes_it_on,
    a_malformed_key_costs_nothing,
    a_broken_body_costs_no_key,
    bodies_too_large_are_refused_in_flat_memory,
    a_duplicate_may_wait,
    a_key_may_be_in_the_body,
    a_derived_key_makes_one_charge,
    many_at_once_for_one_key,
    ten_thousand_keys_over_64_connections,
}

fn pay(client: Client, query: &str, key: &str) -> RequestBuilder {
    client.post(&format!("/payments{query}")).key(key).header("content-type", "application/json").body(PAYMENT)
}

async fn send(request: &RequestBuilder) -> Answer {
    request.send().await.expect("the service answers")
}

async fn ledger(client: Client) -> Vec<Value> {
    let answer = send(&client.get("/payments")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().expect("the ledger is an array").clone()
}

/// Sends it again while the answer is one of these, and returns the first other one.
async fn retry_while(statuses: &[u16], request: &RequestBuilder) -> Answer {
    let started = Instant::now();
    loop {
        let answer = send(request).await;
        if !statuses.contains(&answer.status.as_u16()) {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "still {answer:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[track_caller]
fn assert_replay_of(first: &Answer, again: &Answer) {
    assert!(again.is_replay(), "{again:?}");
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    for name in ["content-type", "location"] {
        assert_eq!(again.header(name), first.header(name));
    }
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    assert!(!answer.code().is_empty(), "{answer:?}");
}

async fn the_same_bytes_twice(setup: Setup) {
    let service = Service::start(setup.settings).await;
    let request = pay(service.client(), "", "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"");

    let first = send(&request).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert!(!first.is_replay());
    let payment = first.json();
    assert_eq!((&payment["amount"], &payment["currency"]), (&json!(1200), &json!("EUR")));
    let location = first.header("location").expect("a created payment has a location");
    assert_eq!(location, format!("/payments/{}", payment["id"].as_str().expect("an id is text")));

    assert_replay_of(&first, &send(&request).await);
    // The bare spelling is the same key.
    assert_replay_of(&first, &send(&pay(service.client(), "", "8e03978e-40d5-43e8-bc93-6894a57f9324")).await);
    assert_eq!(send(&service.client().get(location)).await.json(), payment);
    assert_eq!(ledger(service.client()).await, [payment]);
}

async fn a_replay_survives_kill_9(setup: Setup) {
    let mut service = Service::start(setup.settings).await;
    let first = send(&pay(service.client(), "", "k")).await;
    assert_eq!(first.status, 201, "{first:?}");

    service.kill();
    service.restart().await;
    assert_replay_of(&first, &send(&pay(service.client(), "", "k")).await);
    assert_eq!(ledger(service.client()).await.len(), 1);
}

async fn a_hang_up_changes_nothing(setup: Setup) {
    // A lease shorter than the handler: it must also be renewed with nobody listening.
    let service = Service::start(setup.settings.lease("2s")).await;
    let request = pay(service.client(), "?delay_ms=3000", "k");
    let heard = request.hang_up_after(Duration::from_millis(200)).await.expect("the service accepts");
    assert!(heard.is_none(), "{heard:?}");

    let running = send(&request).await;
    assert_problem(&running, 409);
    assert!(running.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{running:?}");

    let finished = retry_while(&[409], &request).await;
    assert_eq!(finished.status, 201, "{finished:?}");
    assert!(finished.is_replay());
    assert_eq!(ledger(service.client()).await, [finished.json()]);
}

async fn a_panic_gives_the_key_back(setup: Setup) {
    let service = Service::start(setup.settings).await;
    assert_problem(&send(&pay(service.client(), "?panic=1", "k")).await, 500);

    // The query belongs to the request, so this is another one: only a free key takes it.
    let answer = send(&pay(service.client(), "", "k")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(!answer.is_replay());
    assert_eq!(ledger(service.client()).await.len(), 1);
}

async fn a_crash_costs_a_lease_and_a_second_run(setup: Setup) {
    const LEASE: Duration = Duration::from_secs(4);
    let mut service = Service::start(setup.settings.lease("4s")).await;
    let sent = Instant::now();
    let unheard = pay(service.client(), "?crash=1", "k").send().await;
    assert!(unheard.is_err(), "{unheard:?}");
    assert!(!service.wait_exit().await.success());
    service.restart().await;

    // While the dead process's lease lasts, nobody knows that it is dead.
    let same = pay(service.client(), "?crash=1", "k");
    if sent.elapsed() < LEASE / 2 {
        assert_problem(&send(&same).await, 409);
    }
    // Another request may not have the key, then or later: what the first one did is not known.
    let other = service.client().post("/payments").key("k").json(&json!({"amount": 7, "currency": "EUR"}));
    assert_problem(&send(&other).await, 422);
    // Afterwards the same request may take it, as here without its crash, which is no part of the payment.
    let answer = retry_while(&[409], &pay(service.client(), "", "k")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(!answer.is_replay());
    assert!(sent.elapsed() >= LEASE, "taken over {:?} after it was reserved", sent.elapsed());
    assert_problem(&send(&other).await, 422);
    assert_eq!(ledger(service.client()).await.len(), 2, "a crash after the effect is where it runs twice");
}

async fn a_failure_that_the_handler_answers_is_kept(setup: Setup) {
    let service = Service::start(setup.settings).await;
    let request = pay(service.client(), "?fail=503", "k");
    let first = send(&request).await;
    assert_eq!(first.status, 503, "{first:?}");
    assert_replay_of(&first, &send(&request).await);

    let invalid = service.client().post("/payments").key("i").json(&json!({"amount": 0, "currency": "EUR"}));
    let first = send(&invalid).await;
    assert_eq!(first.status, 422, "{first:?}");
    assert!(first.json()["error"].is_string());
    assert_replay_of(&first, &send(&invalid).await);
    assert!(ledger(service.client()).await.is_empty());
}

async fn a_duplicate_may_wait(setup: Setup) {
    let service = Service::start(setup.settings).await;
    let pay =
        || service.client().post("/payments/wait?delay_ms=700").key("k").json(&json!({"amount": 5, "currency": "EUR"}));
    let (first, second) = tokio::join!(async { send(&pay()).await }, async {
        sleep(Duration::from_millis(200)).await;
        send(&pay()).await
    });
    assert_eq!((first.status.as_u16(), first.is_replay()), (201, false), "{first:?}");
    assert_replay_of(&first, &second);
    assert_eq!(ledger(service.client()).await.len(), 1);
}

async fn a_key_may_be_in_the_body(setup: Setup) {
    let service = Service::start(setup.settings).await;
    let order =
        |body: &'static str| service.client().post("/orders").header("content-type", "application/json").body(body);
    let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let first =
        send(&order(r#"{"request_id": "67e55044-10b1-426f-9247-bb680e5fe0c8", "amount": 5, "currency": "EUR"}"#)).await;
    assert_eq!(first.status, 201, "{first:?}");
    let reordered = order(r#"{"currency":"EUR","amount":5,"request_id":"67e55044-10b1-426f-9247-bb680e5fe0c8"}"#);
    assert_replay_of(&first, &send(&reordered).await);
    let dearer = service.client().post("/orders").json(&json!({"request_id": id, "amount": 6, "currency": "EUR"}));
    assert_problem(&send(&dearer).await, 422);
    assert_eq!(ledger(service.client()).await.len(), 1);
}

async fn a_derived_key_makes_one_charge(setup: Setup) {
    let mut service = Service::start(setup.settings.lease("1s")).await;
    let charge = |client: Client, query: &str| {
        client.post(&format!("/charges{query}")).key("k").json(&json!({"amount": 5, "currency": "EUR"}))
    };
    assert!(charge(service.client(), "?crash=1").send().await.is_err());
    assert!(!service.wait_exit().await.success());
    service.restart().await;
    let again = retry_while(&[409], &charge(service.client(), "")).await;
    assert_eq!((again.status.as_u16(), again.is_replay()), (201, false), "it runs again: {again:?}");
    let charges = send(&service.client().get("/charges")).await.json();
    assert_eq!(charges, json!([again.json()]), "and the provider has made one charge");
}

async fn another_request_under_the_key_is_refused(setup: Setup) {
    let service = Service::start(setup.settings).await;
    send(&pay(service.client(), "", "k")).await;
    let refused = send(&pay(service.client(), "", "k").body(PAYMENT.replace("1200", "1300"))).await;
    assert_problem(&refused, 422);
    assert_eq!(refused.code(), "idempotency_key_conflict");
    assert_eq!(ledger(service.client()).await.len(), 1);
}

async fn callers_do_not_share_keys(setup: Setup) {
    let service = Service::start(setup.settings).await;
    let request = pay(service.client(), "", "k");
    for request in [request.clone(), request.clone().header("authorization", "a"), request.header("authorization", "b")]
    {
        let answer = send(&request).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(!answer.is_replay());
    }
    assert_eq!(ledger(service.client()).await.len(), 3);
}

async fn a_browsers_cookies_name_nobody(setup: Setup) {
    let service = Service::start(setup.settings).await;
    let with = |cookie| pay(service.client(), "", "k").header("cookie", cookie);
    assert_eq!(send(&with("session=of-another-service")).await.status, 201);
    assert!(send(&with("session=renewed")).await.is_replay());
    assert!(send(&pay(service.client(), "", "k")).await.is_replay());
    assert_eq!(ledger(service.client()).await.len(), 1);
}

async fn an_order_is_the_marketplaces_whoever_passes_it_on(setup: Setup) {
    let service = Service::start(setup.settings).await;
    let order = json!({"request_id": "67e55044-10b1-426f-9247-bb680e5fe0c8", "amount": 5, "currency": "EUR"});
    let passed_on_by = |who| service.client().post("/orders").header("authorization", who).json(&order);
    assert_eq!(send(&passed_on_by("a")).await.status, 201);
    assert!(send(&passed_on_by("b")).await.is_replay());
    assert_eq!(ledger(service.client()).await.len(), 1);
}

fn raw_payment(key_lines: &[u8], length: usize, body: &str) -> Vec<u8> {
    let head = b"POST /payments HTTP/1.1\r\nHost: payments\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let rest = format!("Content-Length: {length}\r\n\r\n{body}");
    [head, key_lines, rest.as_bytes()].concat()
}

async fn a_malformed_key_costs_nothing(setup: Setup) {
    let service = Service::start(setup.settings).await;
    let long = format!("Idempotency-Key: {}\r\n", "a".repeat(256));
    let long_string = format!("Idempotency-Key: \"{}\"\r\n", "a".repeat(256));
    let malformed: [(&str, &[u8]); 16] = [
        ("missing", b""),
        ("empty", b"Idempotency-Key:\r\n"),
        ("an empty string", b"Idempotency-Key: \"\"\r\n"),
        ("blank", b"Idempotency-Key:    \r\n"),
        ("UTF-8", "Idempotency-Key: schl\u{fc}ssel\r\n".as_bytes()),
        ("UTF-8 in a string", "Idempotency-Key: \"schl\u{fc}ssel\"\r\n".as_bytes()),
        ("Latin-1", b"Idempotency-Key: schl\xfcssel\r\n"),
        ("over 255", long.as_bytes()),
        ("a string over 255", long_string.as_bytes()),
        ("unterminated", b"Idempotency-Key: \"abc\r\n"),
        ("a bad escape", b"Idempotency-Key: \"a\\bc\"\r\n"),
        ("two headers", b"Idempotency-Key: a\r\nIdempotency-Key: a\r\n"),
        ("a list", b"Idempotency-Key: \"a\", \"b\"\r\n"),
        ("a bare list", b"Idempotency-Key: a, b\r\n"),
        ("a parameter without a name", b"Idempotency-Key: \"a\";\r\n"),
        ("a parameter without a value", b"Idempotency-Key: \"a\";x=\r\n"),
    ];
    for (what, lines) in malformed {
        let answer = raw(&service, &raw_payment(lines, PAYMENT.len(), PAYMENT)).await;
        assert_eq!(answer.status, Some(400), "{what}: {answer:?}");
        assert!(answer.text.contains("application/problem+json"), "{what}: {answer:?}");
        assert!(answer.text.contains("\"code\""), "{what}: {answer:?}");
    }
    assert!(ledger(service.client()).await.is_empty());

    // The longest key, and parameters that are none of our business.
    let longest = format!("Idempotency-Key: \"{}\";a=1;b\r\n", "k".repeat(255));
    let answer = raw(&service, &raw_payment(longest.as_bytes(), PAYMENT.len(), PAYMENT)).await;
    assert_eq!(answer.status, Some(201), "{answer:?}");
}

async fn raw(service: &Service, bytes: &[u8]) -> RawAnswer {
    service.client().raw(bytes).await.expect("the service answers or closes")
}

async fn a_broken_body_costs_no_key(setup: Setup) {
    let service = Service::start(setup.settings).await;
    let whole = pay(service.client(), "", "k");
    for (body, status) in
        [("{\"amount\":", 400), ("{}", 422), ("{\"amount\":\"1\",\"currency\":\"EUR\"}", 422), ("", 400)]
    {
        let answer = send(&whole.clone().body(body)).await;
        assert_eq!(answer.status, status, "{body:?}: {answer:?}");
    }

    let cut = raw_payment(b"Idempotency-Key: k\r\n", PAYMENT.len() + 1, PAYMENT);
    let answer = service.client().raw_cut_short(&cut).await.expect("the service answers or closes");
    assert!(matches!(answer.status, None | Some(400)), "{answer:?}");
    assert!(ledger(service.client()).await.is_empty());

    let answer = send(&whole).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(!answer.is_replay());
}

async fn bodies_too_large_are_refused_in_flat_memory(setup: Setup) {
    const CLIENTS: usize = 100;
    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;
    let service = Service::start(setup.settings).await;
    send(&pay(service.client(), "", "warm")).await;
    let before = service.peak_memory();

    // What is announced can be refused at once; what comes in chunks only past the limit, which each client may fill.
    let limit = u64::try_from(MAX_BODY_BYTES).expect("the limit fits");
    let kinds = [
        (format!("Content-Length: {GIB}"), 64 * MIB),
        ("Transfer-Encoding: chunked".to_owned(), 64 * MIB + CLIENTS as u64 * limit),
    ];
    for (framing, allowed) in kinds {
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            let (client, key) = (service.client(), format!("Idempotency-Key: {n}\r\n{framing}\r\n"));
            let head =
                format!("POST /payments HTTP/1.1\r\nHost: payments\r\nContent-Type: application/json\r\n{key}\r\n");
            clients.spawn(async move { client.flood(head.as_bytes(), GIB).await });
        }
        for flooded in clients.join_all().await {
            let (answer, sent) = flooded.expect("the service answers");
            assert_eq!(answer.status, Some(413), "{framing}, after {sent} bytes: {answer:?}");
            assert!(sent < GIB / 4, "{framing}: took {sent} bytes of what it refuses");
        }
        // Where the system does not tell, that all were refused early has to do.
        if let (Some(before), Some(peak)) = (before, service.peak_memory()) {
            let grown = peak.saturating_sub(before);
            assert!(grown < allowed, "{framing}: grew by {} MiB", grown / MIB);
        }
    }

    // Nothing was reserved: the key of a refused request is free.
    let answer = send(&pay(service.client(), "", "0")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(ledger(service.client()).await.len(), 2);
}

async fn ten_thousand_keys_over_64_connections(setup: Setup) {
    const CONNECTIONS: usize = 64;
    const KEYS: usize = 10_000;
    let service = Service::start(setup.settings).await;
    let mut clients = JoinSet::new();
    for n in 0..CONNECTIONS {
        let client = service.client();
        clients.spawn(async move {
            let mut connection = client.connect().await.expect("the service accepts");
            for key in (n..KEYS).step_by(CONNECTIONS) {
                let request = pay(client, "", &format!("key-{key}"));
                let answer = request.send_over(&mut connection).await.expect("the service answers");
                assert_eq!(answer.status, 201, "{answer:?}");
            }
        });
    }
    clients.join_all().await;
    assert_eq!(ledger(service.client()).await.len(), KEYS);
}

async fn many_at_once_for_one_key(setup: Setup) {
    // Each costs a descriptor in both processes, of which many systems allow 1024, and two tests may run at a time.
    const CLIENTS: usize = 400;
    let service = Service::start(setup.settings).await;
    let request = pay(service.client(), "?delay_ms=300", "k");
    let start = Arc::new(Barrier::new(CLIENTS));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (request, client, start) = (request.clone(), service.client(), Arc::clone(&start));
        clients.spawn(async move {
            let mut connection = client.connect().await.expect("the service accepts");
            start.wait().await;
            request.send_over(&mut connection).await.expect("the service answers")
        });
    }
    let answers = clients.join_all().await;
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 201 | 409)), "{:?}", statuses(&answers));
    assert_eq!(answers.iter().filter(|answer| answer.status == 201 && !answer.is_replay()).count(), 1);
    assert_eq!(ledger(service.client()).await.len(), 1);
}

fn statuses(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.status.as_u16()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_guarded_request_costs_two_statements_and_a_replay_one_or_none() {
    let server = PostgresOptions::new().log_statements().start().await;
    let database = TestDatabase::create_on(&server).await;
    let settings = Settings::new().database(database.url());
    let (service, other) = tokio::join!(Service::start(settings.clone()), Service::start(settings));
    send(&pay(service.client(), "", "warm")).await;
    send(&pay(other.client(), "", "up")).await;

    let mut seen = server.statements().len();
    let mut during = async |request: &RequestBuilder| {
        let answer = send(request).await;
        let statements = server.statements().split_off(seen);
        seen += statements.len();
        // About once a second a process looks at the server's session and at the mark of a removal, beside the requests.
        let is_sample = |text: &str| text.contains("pg_stat_get_activity") || text.contains("key = 'forgotten'");
        let texts = statements
            .into_iter()
            .filter(|statement| statement.database == database.name() && !is_sample(&statement.text));
        (answer, texts.map(|statement| statement.text).collect::<Vec<_>>())
    };
    let request = pay(service.client(), "", "k");
    let (first, statements) = during(&request).await;
    assert_eq!(first.status, 201, "{first:?}");
    // The one between them is the handler's own.
    assert_eq!(statements.len(), 3, "{statements:#?}");
    assert!(statements[1].starts_with("INSERT INTO payments"), "{statements:#?}");

    // What this process has seen it need not ask for, where it has looked at the server's session within a second.
    let mut costs = Vec::new();
    while costs.last() != Some(&0) {
        let (again, statements) = during(&request).await;
        assert_replay_of(&first, &again);
        assert!(statements.len() <= 1 && costs.len() < 100, "{costs:?} {statements:#?}");
        costs.push(statements.len());
    }

    let (elsewhere, statements) = during(&pay(other.client(), "", "k")).await;
    assert_replay_of(&first, &elsewhere);
    assert_eq!(statements.len(), 1, "{statements:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_pay_once_for_each_key() {
    const KEYS: usize = 200;
    const CLIENTS: usize = 50;
    let database = TestDatabase::create().await;
    let settings = Settings::new().database(database.url());
    // At once, so that they also race for the tables.
    let (one, other) = tokio::join!(Service::start(settings.clone()), Service::start(settings));

    let start = Arc::new(Barrier::new(CLIENTS));
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let client = if n % 2 == 0 { one.client() } else { other.client() };
        let start = Arc::clone(&start);
        clients.spawn(async move {
            let mut connection = client.connect().await.expect("the service accepts");
            let mut answers = Vec::with_capacity(KEYS);
            for key in 0..KEYS {
                let request = pay(client, "", &format!("key-{key}"));
                start.wait().await;
                let answer = loop {
                    let answer = request.send_over(&mut connection).await.expect("the service answers");
                    match answer.status.as_u16() {
                        201 => break answer,
                        409 => sleep(Duration::from_millis(5)).await,
                        _ => panic!("{answer:?}"),
                    }
                };
                answers.push(answer);
            }
            answers
        });
    }
    let answers = clients.join_all().await;
    for key in 0..KEYS {
        let of_key: Vec<_> = answers.iter().map(|of_client| &of_client[key]).collect();
        assert_eq!(of_key.iter().filter(|answer| !answer.is_replay()).count(), 1, "key {key} ran otherwise than once");
        assert!(of_key.iter().all(|answer| answer.body == of_key[0].body), "key {key} has two answers");
    }
    assert_eq!(ledger(one.client()).await.len(), KEYS);
}

#[tokio::test]
async fn an_absent_database_ends_the_start() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let exit = Service::run_to_exit(Settings::new().database(&format!("postgres://me:secret@{address}/ledger"))).await;
    assert!(!exit.status.success() && exit.took < Duration::from_secs(10), "{exit:?}");
    assert!(exit.stderr.contains(&address.to_string()) && exit.stderr.contains("DATABASE_URL"), "{exit:?}");
    assert!(!exit.stderr.contains("secret") && exit.stdout.is_empty(), "{exit:?}");

    // One that accepts and says nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let exit = Service::run_to_exit(Settings::new().database(&format!("postgres://me:secret@{address}/ledger"))).await;
    assert!(!exit.status.success() && exit.took < Duration::from_secs(10), "{exit:?}");
    assert!(exit.stderr.contains(&address.to_string()), "{exit:?}");

    let exit = Service::run_to_exit(Settings::new().database("sqlite://no/such/directory/payments.db")).await;
    assert!(!exit.status.success(), "{exit:?}");
    assert!(exit.stderr.contains("no/such/directory/payments.db") && exit.stderr.contains("DATABASE_URL"), "{exit:?}");
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_ends_the_start() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let absent = listener.local_addr().unwrap().to_string();
    drop(listener);
    let server = RedisOptions::new().password("right").start().await;
    let strict = format!("127.0.0.1:{}", server.port());
    for (urls, address) in [
        (format!("redis://me:secret@{absent}"), &absent),
        (format!("redis://:secret@{strict}"), &strict),
        (format!("redis://:secret@{absent},redis://:secret@{absent}"), &absent),
    ] {
        let exit = Service::run_to_exit(Settings::new().redis(&urls)).await;
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.contains(address.as_str()) && exit.stderr.contains("REDIS_URL"), "{exit:?}");
        assert!(!exit.stderr.contains("secret") && exit.stdout.is_empty(), "{exit:?}");
    }
}

#[tokio::test]
async fn while_redis_is_away_nothing_runs_that_has_its_key_there() {
    let server = RedisOptions::new().append_only(Fsync::Always).start().await;
    let service = Service::start(Settings::new().redis(&server.url())).await;
    let first = send(&pay(service.client(), "", "before")).await;
    assert_eq!(first.status, 201, "{first:?}");

    server.kill().await;
    assert_problem(&send(&pay(service.client(), "", "during")).await, 503);
    // Its record is beside the ledger.
    let order = in_the_shop(service.client(), "transaction", "during");
    assert_eq!(send(&order).await.status, 201);

    server.start().await;
    assert_replay_of(&first, &retry_while(&[503], &pay(service.client(), "", "before")).await);
    let second = retry_while(&[503, 409], &pay(service.client(), "", "during")).await;
    assert!(second.status == 201 && !second.is_replay(), "{second:?}");
    assert_eq!(ledger(service.client()).await, [first.json(), second.json()]);
}

fn in_the_shop(client: Client, handler: &str, key: &str) -> RequestBuilder {
    let order = json!({"shop": 1, "number": 1, "amount": 1200});
    client.post(&format!("/shop/{handler}")).header("shop-pace", "0").key(key).json(&order)
}

/// As the page has it beside each handler.
#[tokio::test]
async fn what_a_lost_redis_forgets_runs_again_and_a_transaction_is_not_forgotten() {
    for (handler, charges, shipments) in [("reservation", 2, 0), ("transaction", 1, 0), ("steps", 1, 2)] {
        let server = RedisServer::launch().await;
        let service = Service::start(Settings::new().redis(&server.url())).await;
        let order = in_the_shop(service.client(), handler, "k");
        let first = send(&order).await;
        assert_eq!(first.status, 201, "{handler}: {first:?}");
        assert_replay_of(&first, &send(&order).await);
        assert_eq!(server.tell::<u64>("DBSIZE").await, u64::from(handler != "transaction"), "{handler}");

        // It comes back empty, as it keeps nothing on its disk. What the process has seen it replays from memory until it
        // has looked at the server's session, once a second.
        server.kill().await;
        server.start().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let again = retry_while(&[503], &order).await;
        assert_eq!((again.status.as_u16(), again.is_replay()), (201, handler == "transaction"), "{handler}: {again:?}");
        let rows = send(&service.client().get("/shop/ledger?shop=1")).await.json();
        assert_eq!(rows.as_array().map(Vec::len), Some(charges), "{handler}: {rows}");
        assert_eq!(rows[0]["shipments"], shipments, "{handler}: {rows}");
    }
}

#[tokio::test]
async fn keys_lie_on_the_cluster_that_several_addresses_name() {
    let cluster = RedisOptions::new().start_cluster().await;
    let service = Service::start(Settings::new().redis(&cluster.urls().join(","))).await;
    for key in 0..20 {
        let request = pay(service.client(), "", &format!("k{key}"));
        let first = send(&request).await;
        assert_eq!(first.status, 201, "{first:?}");
        assert_replay_of(&first, &send(&request).await);
    }
    for primary in cluster.primaries().await {
        assert_ne!(cluster.servers()[primary].tell::<u64>("DBSIZE").await, 0, "each has some of them");
    }

    let one = Settings::new().redis(&cluster.urls()[0]);
    let exit = Service::run_to_exit(one).await;
    assert!(exit.status.code() == Some(1) && exit.stderr.contains("name two of its nodes"), "{exit:?}");
}

#[tokio::test]
async fn a_wrong_setting_is_named() {
    let wrong = [
        ("PORT", "abc"),
        ("PORT", "70000"),
        ("LEASE", "0"),
        ("LEASE", "soon"),
        ("DATABASE_URL", "mysql://me:secret@host/ledger"),
        ("DATABASE_URL", "sqlite::memory:"),
        ("DATABASE_URL", ""),
        ("REDIS_URL", "http://me:secret@host"),
        ("REDIS_URL", "redis://me:secret@"),
        ("REDIS_URL", "rediss://me:secret@host"),
        ("REDIS_URL", "redis://me:secret@host,host"),
        ("SUPERVISE", "yes"),
    ];
    for (name, value) in wrong {
        let exit = Service::run_to_exit(Settings::new().set(name, value)).await;
        assert_eq!(exit.status.code(), Some(2), "{name}={value}: {exit:?}");
        assert!(exit.stderr.starts_with(name) && exit.stderr.lines().count() == 1, "{name}={value}: {exit:?}");
        assert!(!exit.stderr.contains("secret"), "{exit:?}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let exit = Service::run_to_exit(Settings::new().set("PORT", &address.port().to_string())).await;
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(exit.stderr.contains(&address.to_string()) && exit.stderr.contains("PORT=0 cargo run"), "{exit:?}");
}

#[tokio::test]
async fn a_wrong_address_is_named() {
    let service = Service::start(Settings::new()).await;
    let answer = send(&service.client().post("/payment?key=k").body(PAYMENT)).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(answer.json()["error"], "there is no POST /payment here; try GET / or POST /payments");
}

#[tokio::test]
async fn what_it_prints_works_as_pasted() {
    let mut service = Service::start(Settings::new().set("SUPERVISE", "1")).await;
    // Twice in one directory: the keys of the second start are not those that the first one has recorded.
    for payments in [0, 2] {
        let [pay, list, crash] = loop {
            let printed = service.stdout();
            let lines: Vec<_> = printed.lines().filter(|line| line.starts_with("curl ")).map(str::to_owned).collect();
            match <[String; 3]>::try_from(lines) {
                Ok(lines) => break lines,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        };
        let folder = service.directory().to_owned();
        let paste = |line: &str| shell::paste(line, &folder, &[]);
        let count = |ledger: &str| serde_json::from_str::<Vec<Value>>(ledger).expect("the ledger is a list").len();
        let [first, second] = [paste(&pay), paste(&pay)];
        assert!(first.starts_with("HTTP/1.1 201 ") && !first.contains("idempotency-replayed"), "{first}");
        assert!(second.contains("idempotency-replayed: true"), "{second}");
        assert_eq!(second.split("\r\n\r\n").nth(1), first.split("\r\n\r\n").nth(1));
        assert_eq!(count(&paste(&list)), payments + 1);

        // 52 is curl's word for no answer.
        assert_eq!(paste(&format!("{crash} || test $? = 52")), "");
        let ledger = paste(&format!("{list} --retry 100 --retry-connrefused --retry-delay 1"));
        assert_eq!(count(&ledger), payments + 2);
        service.restart().await;
    }
}

#[tokio::test]
async fn a_supervised_service_comes_back_after_a_crash() {
    let mut service = Service::start(Settings::new().set("SUPERVISE", "1")).await;
    for n in 1..=2 {
        let crashed = pay(service.client(), "?crash=1", &format!("k{n}")).send().await;
        assert!(crashed.is_err(), "{crashed:?}");
        let ledger = loop {
            match service.client().get("/payments").send().await {
                Ok(answer) => break answer.json(),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
        assert_eq!(ledger.as_array().map(Vec::len), Some(n), "{ledger}");
    }

    // The order to stop reaches the child, and is no crash.
    let ordered = Command::new("kill").args(["-TERM", &service.pid().to_string()]).status().unwrap();
    assert!(ordered.success());
    let status = service.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{}", service.stderr());
    assert_eq!(service.stderr().matches("died").count(), 2, "{}", service.stderr());
    let after = service.client().get("/payments").send().await;
    assert!(after.is_err(), "{after:?}");
}

#[tokio::test]
async fn a_supervised_service_does_not_outlive_its_supervisor() {
    let mut service = Service::start(Settings::new().set("SUPERVISE", "1")).await;
    send(&pay(service.client(), "", "k")).await;
    service.kill();
    let started = Instant::now();
    while service.client().get("/payments").send().await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(30), "the child still answers");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_supervised_service_that_cannot_start_is_not_tried_again() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let exit = Service::run_to_exit(Settings::new().set("SUPERVISE", "1").set("PORT", &port)).await;
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert_eq!(exit.stderr.lines().count(), 1, "{exit:?}");
}

#[tokio::test]
async fn a_database_may_go_and_come_back() {
    let server = PostgresServer::launch().await;
    let database = TestDatabase::create_on(&server).await;
    let service = Service::start(Settings::new().database(database.url()).lease("2s")).await;
    let client = service.client();
    let first = send(&pay(client, "", "before")).await;
    assert_eq!(first.status, 201, "{first:?}");

    server.stop_immediate().await;
    for key in ["before", "during"] {
        let asked = Instant::now();
        let away = send(&pay(client, "", key)).await;
        assert_problem(&away, 503);
        assert!(away.header("retry-after").is_some(), "{away:?}");
        assert!(asked.elapsed() < Duration::from_secs(10), "took {:?}", asked.elapsed());
    }

    server.start().await;
    assert_replay_of(&first, &retry_while(&[503], &pay(client, "", "before")).await);
    let second = retry_while(&[503, 409], &pay(client, "", "during")).await;
    assert_eq!(second.status, 201, "{second:?}");
    assert!(!second.is_replay(), "the handler did not run while the database was away");
    assert_eq!(ledger(client).await, [first.json(), second.json()]);
}
