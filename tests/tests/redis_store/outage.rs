//! Servers that go, stall, forget and change places under load: no key runs twice within its lease, and the store follows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cratestack_runtime::{ClaimOutcome, IdempotencyStore, LeaseState, RedisStore, StoreError};
use cratestack_tests::RedisOptions;
use cratestack_tests::redis::{Fsync, RedisServer};
use tokio::task::JoinSet;

use crate::service::{HOUR, MINUTE, claim, finish, on, on_cluster, reserve, through, until};

/// Callers that pay with key after key, as an engine would: each key until it is recorded.
struct Load {
    over: Arc<AtomicBool>,
    callers: JoinSet<Vec<(String, u32)>>,
    errors: Arc<Mutex<Vec<StoreError>>>,
}

impl Load {
    fn on(store: &RedisStore) -> Self {
        let (over, errors) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let mut callers = JoinSet::new();
        for caller in 0..32 {
            let (store, over, errors) = (store.clone(), Arc::clone(&over), Arc::clone(&errors));
            callers.spawn(async move {
                let mut runs = Vec::new();
                for n in 0.. {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    let key = format!("{caller}-{n}");
                    let mut times = 0;
                    pay(&store, &key, &mut times, &errors).await;
                    runs.push((key, times));
                }
                runs
            });
        }
        Self { over, callers, errors }
    }

    /// Of each key, how often it ran; and what went wrong.
    async fn end(self) -> (HashMap<String, u32>, Vec<StoreError>) {
        self.over.store(true, Ordering::SeqCst);
        let runs = self.callers.join_all().await.into_iter().flatten().collect();
        let errors = std::mem::take(&mut *self.errors.lock().unwrap());
        (runs, errors)
    }
}

async fn pay(store: &RedisStore, key: &str, times: &mut u32, errors: &Mutex<Vec<StoreError>>) {
    let failed = async |error| {
        errors.lock().unwrap().push(error);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    loop {
        match store.reserve(claim(key, Duration::from_millis(500))).await {
            Ok(ClaimOutcome::Reserved { token, .. }) => {
                *times += 1;
                loop {
                    match finish(store, key, token).await {
                        Ok(LeaseState::Held) => return,
                        // Taken over, or lost with its server.
                        Ok(_) => break,
                        Err(error) => failed(error).await,
                    }
                }
            }
            Ok(ClaimOutcome::Replay(record)) => {
                assert_eq!(record.response_body, format!("done {key}").into_bytes());
                return;
            }
            Ok(ClaimOutcome::InFlight) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(other) => panic!("{key}: {other:?}"),
            Err(error) => failed(error).await,
        }
    }
}

fn only_unavailable(errors: &[StoreError]) {
    let other = errors.iter().find(|error| !matches!(error, StoreError::Unavailable(_)));
    assert!(other.is_none(), "{other:?}");
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

fn twice(runs: &HashMap<String, u32>) -> usize {
    runs.values().filter(|times| **times > 1).count()
}

/// With its file on the disk, which a killed process does not lose.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back() {
    let server = RedisOptions::new().append_only(Fsync::Always).start().await;
    for store in [on(&server), on(&server).group_commit(false)] {
        server.tell::<()>("FLUSHALL").await;
        let load = Load::on(&store);
        seconds(1).await;
        server.kill().await;
        seconds(1).await;
        server.start().await;
        let back = Instant::now();
        until("the store works", async || store.reserve(claim("probe", HOUR)).await.ok()).await;
        println!("works {:?} after the server came back", back.elapsed());
        seconds(1).await;
        let (runs, errors) = load.end().await;
        println!("{} keys, {} ran again, {} errors", runs.len(), twice(&runs), errors.len());
        only_unavailable(&errors);
        assert!(!errors.is_empty());
    }
}

/// A caller whose lease may be over does not go on with it, and one that has been told is not overtaken.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stalls_for_longer_than_the_lease() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    let held = reserve(&store, "held", Duration::from_secs(2)).await;
    let asking = tokio::spawn({
        let store = store.clone();
        async move { store.reserve(claim("asked", Duration::from_secs(1))).await }
    });
    server.freeze().await;
    let renewing = tokio::spawn({
        let store = store.clone();
        async move { store.renew("p", "held", held, Duration::from_secs(1), HOUR).await }
    });
    seconds(3).await;
    server.thaw().await;
    // Its lease counts from its write, which is after the stall: or the answer is an error.
    println!("{:?}, {:?}", renewing.await.unwrap(), asking.await.unwrap());
    let answer = store.renew("p", "held", held, MINUTE, HOUR).await;
    assert_eq!(answer, Ok(LeaseState::Held), "nobody has taken it over");
    let again = store.reserve(claim("held", MINUTE)).await;
    assert!(matches!(again, Ok(ClaimOutcome::InFlight)), "{again:?}");
}

/// Longer than an answer may take: callers are told, and it works again once the server does.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    reserve(&store, "k", HOUR).await;
    server.freeze().await;
    let asked = Instant::now();
    let mut calls = JoinSet::new();
    for n in 0..300 {
        let store = store.clone();
        calls.spawn(async move { store.reserve(claim(&format!("k{n}"), MINUTE)).await });
    }
    let answers = tokio::time::timeout(MINUTE, calls.join_all()).await.expect("nobody stands in line for a connection");
    println!("300 callers were told after {:?}", asked.elapsed());
    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable(_)))), "{answers:?}");
    server.thaw().await;
    until("it works again", async || store.reserve(claim("other", HOUR)).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_are_forgotten_under_load() {
    let server = RedisServer::launch().await;
    for store in [on(&server), on(&server).group_commit(false)] {
        server.tell::<()>("FLUSHALL").await;
        let load = Load::on(&store);
        for _ in 0..100 {
            server.tell::<()>("SCRIPT FLUSH").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (runs, errors) = load.end().await;
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(twice(&runs), 0);
        println!("{} keys", runs.len());
    }
}

/// A call whose connection breaks is made again, once.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_under_load() {
    let server = RedisServer::launch().await;
    for store in [on(&server), on(&server).group_commit(false)] {
        server.tell::<()>("FLUSHALL").await;
        let load = Load::on(&store);
        for _ in 0..30 {
            server.tell::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (runs, errors) = load.end().await;
        only_unavailable(&errors);
        println!("{} keys, {} ran again, {} errors", runs.len(), twice(&runs), errors.len());
        assert_eq!(twice(&runs), 0, "what was written was found again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    let token = reserve(&store, "before", HOUR).await;
    server.tell::<()>("CONFIG SET maxmemory 1").await;
    for error in [
        store.reserve(claim("k", MINUTE)).await.map(drop),
        finish(&store, "before", token).await.map(drop),
        store.renew("p", "before", token, MINUTE, HOUR).await.map(drop),
    ] {
        let Err(StoreError::Unavailable(text)) = error else { panic!("{error:?}") };
        assert!(text.contains("maxmemory"), "{text}");
    }
    assert_eq!(store.show("p", "k").await.unwrap(), None, "nothing is half written");
    server.tell::<()>("CONFIG SET maxmemory 0").await;
    assert_eq!(finish(&store, "before", token).await, Ok(LeaseState::Held));
}

/// Nobody tells the client, which is behind no Sentinel; its server may come back as a primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_made_a_replica() {
    let replicas = RedisOptions::new().start_replicas(1).await;
    let store = on(replicas.primary());
    let token = reserve(&store, "k", HOUR).await;
    replicas.primary().tell::<()>(&format!("REPLICAOF 127.0.0.1 {}", replicas.servers()[1].port())).await;
    let refused = finish(&store, "k", token).await;
    let Err(StoreError::Unavailable(text)) = refused else { panic!("{refused:?}") };
    assert!(text.to_lowercase().contains("read only") || text.contains("READONLY"), "{text}");
    replicas.primary().tell::<()>("REPLICAOF NO ONE").await;
    assert_eq!(finish(&store, "k", token).await, Ok(LeaseState::Held));
}

async fn follows(what: &str, freeze: bool) {
    let sentinels = RedisOptions::new().start_sentinels(2).await;
    let store = through(&sentinels);
    let load = Load::on(&store);
    seconds(1).await;
    let primary = sentinels.primary().await;
    if freeze {
        sentinels.servers()[primary].freeze().await;
    } else {
        sentinels.servers()[primary].kill().await;
    }
    let gone = Instant::now();
    let elected = tokio::spawn(async move {
        let to = sentinels.wait_for_failover(primary).await;
        (sentinels, to, Instant::now())
    });
    until("the store works", async || store.reserve(claim(&format!("probe {:?}", Instant::now()), HOUR)).await.ok())
        .await;
    let works = Instant::now();
    let (sentinels, _, elected) = elected.await.unwrap();
    println!(
        "{what}: elected {:?} after the primary was gone, the store works after {:?}",
        elected - gone,
        works - gone
    );
    if freeze {
        // It comes back as one that believes to be the primary, and is told otherwise.
        sentinels.servers()[primary].thaw().await;
    }
    seconds(2).await;
    let (runs, errors) = load.end().await;
    only_unavailable(&errors);
    println!("{what}: {} keys, {} ran again, {} errors", runs.len(), twice(&runs), errors.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_by_sentinel_under_load() {
    follows("killed", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_by_sentinel_of_a_primary_that_stalls() {
    follows("frozen", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_of_a_cluster_under_load() {
    let mut cluster = RedisOptions::new().start_cluster().await;
    let store = on_cluster(&cluster);
    let load = Load::on(&store);
    seconds(1).await;
    let gone = Instant::now();
    cluster.fail_over(0).await;
    println!("Cluster: failed over within {:?}", gone.elapsed());
    // Keys in every part of it.
    for n in 0..60 {
        let key = format!("probe {n}");
        until("the store works", async || store.reserve(claim(&key, HOUR)).await.ok()).await;
    }
    println!("Cluster: every slot works after {:?}", gone.elapsed());
    let (runs, errors) = load.end().await;
    only_unavailable(&errors);
    println!("Cluster: {} keys, {} ran again, {} errors", runs.len(), twice(&runs), errors.len());
}

/// The store asks the others who has the slots, and leaves the primary that is silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_of_a_cluster_whose_primary_stalls() {
    let mut cluster = RedisOptions::new().start_cluster().await;
    let store = on_cluster(&cluster);
    for n in 0..60 {
        reserve(&store, &format!("before {n}"), HOUR).await;
    }
    cluster.freeze(0).await;
    let gone = Instant::now();
    cluster.wait_for_failover(0).await;
    // Keys in every part of it.
    for n in 0..60 {
        let key = format!("probe {n}");
        until("the store works", async || store.reserve(claim(&key, HOUR)).await.ok()).await;
    }
    println!("Cluster: every slot works {:?} after a primary fell silent", gone.elapsed());
}
