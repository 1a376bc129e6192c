//! Duplicates that wait: they get the outcome at once, and cost the server next to nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use cratestack_runtime::{Idempotency, IdempotencyStore, RedisStore, Watch};
use cratestack_tests::RedisOptions;
use cratestack_tests::redis::{Pace, RedisServer};
use futures_util::future::{join_all, poll_immediate};

use crate::service::{HOUR, Service, commands, finish, on, on_cluster, reserve, sent, shared, until};

async fn waits(store: RedisStore, other: RedisStore, count: &[&RedisServer]) -> u64 {
    let (running, elsewhere) = (Service::over(Idempotency::new(store)), Service::over(Idempotency::new(other)));
    let first = tokio::spawn({
        let running = running.clone();
        async move { running.post("/patient", "k1").await }
    });
    running.waiting.notified().await;
    for server in count {
        server.tell::<()>("CONFIG RESETSTAT").await;
    }
    let waiters = join_all((0..500).map(|n| {
        // Half of them in the process that runs the request, half in another.
        let service = if n % 2 == 0 { running.clone() } else { elsewhere.clone() };
        tokio::spawn(async move {
            let (status, headers, body) = service.post("/patient", "k1").await;
            (status, headers.contains_key("idempotency-replayed"), body, Instant::now())
        })
    }));
    let waiters = tokio::spawn(waiters);
    until("somebody of the other process listens", async || {
        for server in count {
            for name in server.tell::<Vec<String>>("KEYS *").await {
                if server.ask::<i64>(&format!("HEXISTS {name} waiting")).await == Ok(1) {
                    return Some(());
                }
            }
        }
        None
    })
    .await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    running.gate.notify_one();
    let (status, _, body) = first.await.unwrap();
    let finished = Instant::now();
    assert_eq!((status, &body[..]), (StatusCode::CREATED, &b"effect 1"[..]));
    let mut slowest = Duration::ZERO;
    for waiter in waiters.await.unwrap() {
        let (status, replayed, outcome, at) = waiter.unwrap();
        assert_eq!((status, replayed, outcome), (StatusCode::CREATED, true, body.clone()));
        slowest = slowest.max(at.saturating_duration_since(finished));
    }
    let mut cost = 0;
    for server in count {
        let commands = commands(server).await;
        println!("{commands:?}");
        cost += sent(&commands);
    }
    println!("500 waiters: {cost} commands; the last was answered {slowest:?} after the first request");
    assert_eq!((running.effects(), elsewhere.effects()), (1, 0));
    cost
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_waiters_cost_a_handful_of_commands() {
    let server = RedisServer::launch().await;
    let cost = waits(on(&server), on(&server), &[&server]).await;
    assert!(cost <= 20, "{cost} commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_waiters_on_a_cluster_cost_a_handful_of_commands() {
    let cluster = RedisOptions::new().start_cluster().await;
    let primaries: Vec<_> = cluster.servers()[..3].iter().collect();
    let cost = waits(on_cluster(&cluster), on_cluster(&cluster), &primaries).await;
    assert!(cost <= 30, "{cost} commands");
}

/// Whoever waits by polls alone makes one every two seconds.
async fn watch(store: &RedisStore, key: &str) -> Watch {
    store.watch("p", key).await.unwrap().expect("this server tells")
}

async fn told(watch: &mut Watch) {
    tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect("is told");
}

async fn is_told(watch: &mut Watch) -> bool {
    poll_immediate(watch.changed()).await.is_some()
}

/// Completions, releases and removals of many keys, each told to who waits for it and to nobody else.
async fn each_is_told(there: RedisStore, here: RedisStore) {
    const KEYS: usize = 600;
    let keys: Vec<_> = (0..KEYS).map(|n| format!("k{n}")).collect();
    let tokens = join_all(keys.iter().map(|key| reserve(&there, key, HOUR))).await;
    let mut watches = join_all(keys.iter().map(|key| watch(&here, key))).await;
    let (now, later) = (0..KEYS / 2, KEYS / 2..KEYS);
    for done in join_all(now.clone().map(|n| finish(&there, &keys[n], tokens[n]))).await {
        done.unwrap();
    }
    for n in now {
        told(&mut watches[n]).await;
    }
    for n in later.clone() {
        assert!(!is_told(&mut watches[n]).await, "{n} is woken for another key");
    }
    join_all(later.clone().map(|n| there.release("p", &keys[n], tokens[n]))).await;
    for n in later {
        told(&mut watches[n]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_keys_is_told_of() {
    let server = RedisServer::launch().await;
    each_is_told(on(&server), on(&server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_keys_on_a_cluster_is_told_of() {
    let cluster = RedisOptions::new().start_cluster().await;
    each_is_told(on_cluster(&cluster), on_cluster(&cluster)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_not_published() {
    let server = RedisServer::launch().await;
    let service = Service::over(Idempotency::new(on(&server)));
    server.tell::<()>("CONFIG RESETSTAT").await;
    for key in 0..20 {
        service.post("/pay", &format!("k{key}")).await;
    }
    let commands = commands(&server).await;
    assert!(!commands.iter().any(|(name, _)| name == "publish"), "{commands:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_whose_connection_dies_loses_no_waiter() {
    let server = RedisServer::launch().await;
    let (there, here) = (on(&server), on(&server));
    let token = reserve(&there, "k", HOUR).await;
    let mut waiting = watch(&here, "k").await;
    server.tell::<i64>("CLIENT KILL TYPE pubsub").await;
    // It is to look, and watches anew.
    told(&mut waiting).await;
    let mut waiting = watch(&here, "k").await;
    assert!(!is_told(&mut waiting).await);
    finish(&there, "k", token).await.unwrap();
    told(&mut waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waited_key_whose_slot_moves_loses_no_waiter() {
    let cluster = Arc::new(RedisOptions::new().start_cluster().await);
    let (there, here) = (on_cluster(&cluster), on_cluster(&cluster));
    let slot: u16 = cluster.servers()[0].tell("CLUSTER KEYSLOT cratestack_idempotency:p:k").await;
    let token = reserve(&there, "k", HOUR).await;
    let mut waiting = watch(&here, "k").await;
    let to = (cluster.primary_of(slot).await + 1) % 3;
    cluster.move_slots(slot..=slot, to, Pace::default()).await;
    told(&mut waiting).await;
    // The client learns of the move by a redirection.
    let mut waiting = until("a watch at the slot's new place", async || here.watch("p", "k").await.unwrap()).await;
    finish(&there, "k", token).await.unwrap();
    told(&mut waiting).await;
}

/// The poll looks every two seconds.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_listen_or_publish_polls() {
    let server = RedisServer::launch().await;
    for rule in ["+@all -subscribe -ssubscribe", "+@all -publish -spublish", "resetchannels +@all"] {
        server.tell::<()>("FLUSHALL").await;
        server.tell::<()>(&format!("ACL SETUSER mute reset on >secret ~* &* {rule}")).await;
        let mute = || RedisStore::new(redis::Client::open(server.url().replace("://", "://mute:secret@")).unwrap());
        let (there, here) = (Service::over(Idempotency::new(mute())), Service::over(Idempotency::new(mute())));
        let first = tokio::spawn({
            let there = there.clone();
            async move { there.post("/patient", "k1").await }
        });
        there.waiting.notified().await;
        let second = tokio::spawn({
            let here = here.clone();
            async move { here.post("/patient", "k1").await }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        there.gate.notify_one();
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!((first.0, second.0), (StatusCode::CREATED, StatusCode::CREATED), "{rule}: {first:?} {second:?}");
        assert_eq!(first.2, second.2, "{rule}");
        assert_eq!(here.effects(), 0, "{rule}");
    }
}

async fn thundering(service: Service) {
    let answers = join_all((0..2_000).map(|_| {
        let service = service.clone();
        tokio::spawn(async move { service.post("/pay", "k1").await })
    }));
    for answer in answers.await {
        match answer.unwrap() {
            (StatusCode::CREATED, _, body) => assert_eq!(body, "effect 1"),
            (StatusCode::CONFLICT, ..) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(service.effects(), 1);
    assert_eq!(service.post("/pay", "k1").await.2, "effect 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_at_once_for_one_key_are_one_run() {
    let (_redis, store) = shared().await;
    thundering(Service::over(Idempotency::new(store.clone()))).await;
    let server = RedisServer::launch().await;
    thundering(Service::over(Idempotency::new(on(&server).group_commit(false)))).await;
}

/// In two thousand processes, as far as the store can tell.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_reservations_at_once_are_one() {
    let cluster = RedisOptions::new().start_cluster().await;
    let server = RedisServer::launch().await;
    for store in [on(&server), on_cluster(&cluster)] {
        let answers = join_all((0..2_000).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.reserve(crate::service::claim("k", HOUR)).await.unwrap() })
        }));
        let reserved = |answer: &cratestack_runtime::ClaimOutcome| {
            matches!(answer, cratestack_runtime::ClaimOutcome::Reserved { .. })
        };
        let count = answers.await.into_iter().filter(|answer| reserved(answer.as_ref().unwrap())).count();
        assert_eq!(count, 1);
    }
}
