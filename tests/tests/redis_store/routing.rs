//! How calls find the node of a Cluster that has their key.

use std::collections::HashSet;

use cratestack_runtime::{ClaimOutcome, IdempotencyStore, LeaseState, RedisStore, StoreError};
use cratestack_tests::RedisOptions;
use cratestack_tests::redis::{RedisCluster, RedisServer};
use futures_util::future::join_all;
use redis::Client;
use redis::cluster_routing::Slot;

use crate::service::{HOUR, claim, finish, on_cluster, reserve, until};

/// The connections of clients, without that of the one who asks.
async fn connections(server: &RedisServer) -> usize {
    server.tell::<String>("CLIENT LIST TYPE normal").await.lines().count() - 1
}

fn keys_of(slot: u16, count: usize) -> Vec<String> {
    let slot = Slot::new(slot).unwrap();
    let name = |key: &String| Slot::for_key(format!("cratestack_idempotency:p:{key}")) == slot;
    (0..).map(|n| format!("k{n}")).filter(name).take(count).collect()
}

async fn reserve_at_once(store: &RedisStore, keys: impl Iterator<Item = String>) {
    let keys: Vec<_> = keys.collect();
    join_all(keys.iter().map(|key| reserve(store, key, HOUR))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_share_a_connection_to_each_primary() {
    let cluster = RedisOptions::new().start_cluster().await;
    let mut before = Vec::new();
    for server in cluster.servers() {
        before.push(connections(server).await);
    }
    let store = on_cluster(&cluster);
    for round in 0..5 {
        reserve_at_once(&store, (0..200).map(|n| format!("{round} {n}"))).await;
    }
    for (index, server) in cluster.servers().iter().enumerate() {
        // What the first question about the slots has taken is closed some time later.
        let shared = usize::from(index < 3);
        until("one connection to each primary, and none to a replica", async || {
            (connections(server).await - before[index] == shared).then_some(())
        })
        .await;
    }

    let acknowledged = on_cluster(&cluster).acknowledged_by(1);
    for round in 0..5 {
        reserve_at_once(&acknowledged, (0..200).map(|n| format!("acknowledged {round} {n}"))).await;
    }
    for (index, server) in cluster.servers()[..3].iter().enumerate() {
        let taken = connections(server).await - before[index] - 1;
        println!("{taken} connections for acknowledgements to primary {index}");
        // One for each batch on its way.
        assert!((1..=16).contains(&taken), "{taken}");
    }
}

/// Some of a slot's keys have moved, and others have not.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_being_migrated_keeps_at_most_once() {
    const SLOT: u16 = 93;
    let cluster = RedisOptions::new().start_cluster().await;
    let [source, target] = [&cluster.servers()[0], &cluster.servers()[1]];
    let keys = keys_of(SLOT, 32);
    let (here, there) = (on_cluster(&cluster), on_cluster(&cluster).acknowledged_by(1));
    let mut tokens = Vec::new();
    for key in &keys[..20] {
        tokens.push(reserve(&here, key, HOUR).await);
    }
    for (key, token) in keys[..5].iter().zip(&tokens) {
        assert_eq!(finish(&here, key, *token).await, Ok(LeaseState::Held));
    }

    let (source_id, target_id) =
        (source.tell::<String>("CLUSTER MYID").await, target.tell::<String>("CLUSTER MYID").await);
    target.tell::<()>(&format!("CLUSTER SETSLOT {SLOT} IMPORTING {source_id}")).await;
    source.tell::<()>(&format!("CLUSTER SETSLOT {SLOT} MIGRATING {target_id}")).await;
    let names: Vec<String> = source.tell(&format!("CLUSTER GETKEYSINSLOT {SLOT} 100")).await;
    assert_eq!(names.len(), 20);
    for name in names.iter().step_by(2) {
        source.tell::<String>(&format!("MIGRATE 127.0.0.1 {} {name} 0 5000", target.port())).await;
    }

    // All at once, so that some share a pipeline.
    let outcomes = join_all(
        keys.iter()
            .flat_map(|key| [(&here, key), (&there, key)])
            .map(async |(store, key)| (key.clone(), store.reserve(claim(key, HOUR)).await)),
    )
    .await;
    let mut reserved = HashSet::new();
    for (key, outcome) in outcomes {
        match outcome.unwrap() {
            ClaimOutcome::Reserved { .. } => assert!(reserved.insert(key.clone()), "{key} is reserved twice"),
            ClaimOutcome::Replay(_) => assert!(keys[..5].contains(&key), "{key} has no outcome"),
            ClaimOutcome::InFlight => {}
            conflict @ ClaimOutcome::Conflict => panic!("{key}: {conflict:?}"),
        }
    }
    assert_eq!(reserved, keys[20..].iter().cloned().collect(), "those that nobody had");
    let asked = source.info("errorstat_ASK").await.unwrap();
    assert!(asked.is_some(), "the source has sent callers to the target");
    for (key, token) in keys.iter().zip(&tokens).skip(5) {
        assert_eq!(finish(&there, key, *token).await, Ok(LeaseState::Held), "{key}");
    }

    let left: Vec<String> = source.tell(&format!("CLUSTER GETKEYSINSLOT {SLOT} 100")).await;
    for name in left {
        source.tell::<String>(&format!("MIGRATE 127.0.0.1 {} {name} 0 5000", target.port())).await;
    }
    for server in [target, source, &cluster.servers()[2]] {
        server.tell::<()>(&format!("CLUSTER SETSLOT {SLOT} NODE {target_id}")).await;
    }
    for key in &keys[..20] {
        let again = here.reserve(claim(key, HOUR)).await;
        assert!(matches!(again, Ok(ClaimOutcome::Replay(_))), "{key}: {again:?}");
    }
    assert!(source.info("errorstat_MOVED").await.unwrap().is_some(), "the source has the slot no longer");
}

/// Of a node that is silent only its own callers know.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_stalls_holds_up_no_call_to_another() {
    // It is not replaced while the test lasts.
    let mut cluster = RedisOptions::new().set("cluster-node-timeout", "60000").start_cluster().await;
    let elsewhere: Vec<_> = keys_of(16_000, 300);
    for (round, store) in [on_cluster(&cluster), on_cluster(&cluster).acknowledged_by(1)].into_iter().enumerate() {
        reserve_at_once(&store, (0..30).map(|n| format!("{round} {n}"))).await;
        cluster.freeze(0).await;
        let stalled: Vec<_> = keys_of(0, 300)
            .into_iter()
            .map(|key| {
                let store = store.clone();
                tokio::spawn(async move { store.reserve(claim(&key, HOUR)).await })
            })
            .collect();
        for chunk in elsewhere.chunks(50) {
            let held = join_all(chunk.iter().map(|key| store.reserve(claim(key, HOUR)))).await;
            assert!(held.iter().all(Result::is_ok), "{held:?}");
        }
        assert!(!stalled.iter().all(tokio::task::JoinHandle::is_finished), "the others were told before");
        for answer in join_all(stalled).await {
            let answer = answer.unwrap();
            assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        }
        cluster.thaw(0).await;
        until("the node is used again", async || {
            let again = join_all(keys_of(0, 300).iter().map(async |key| store.reserve(claim(key, HOUR)).await)).await;
            again.iter().all(Result::is_ok).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replicas_acknowledged_is_there_after_a_failover_and_calls_go_on() {
    let mut cluster = RedisOptions::new().start_cluster().await;
    let store = on_cluster(&cluster).acknowledged_by(1);
    for n in 0..60 {
        let key = format!("before {n}");
        let token = reserve(&store, &key, HOUR).await;
        assert_eq!(finish(&store, &key, token).await, Ok(LeaseState::Held));
    }
    cluster.fail_over(1).await;
    // Which the one that was promoted has no replica for.
    cluster.restart(1).await;
    for n in 0..60 {
        let key = format!("after {n}");
        until("the store works", async || store.reserve(claim(&key, HOUR)).await.ok()).await;
        let key = format!("before {n}");
        let again = until("its outcome is told", async || store.reserve(claim(&key, HOUR)).await.ok()).await;
        assert!(matches!(again, ClaimOutcome::Replay(_)), "{key}: {again:?}");
    }
}

async fn tell_all(cluster: &RedisCluster, command: &str) {
    for server in cluster.servers() {
        server.tell::<()>(command).await;
    }
}

/// Nodes may tell no host of theirs, or a name.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_found_however_they_tell_where_they_are() {
    let cluster = RedisOptions::new().tls().start_cluster().await;
    tell_all(&cluster, "CONFIG SET cluster-announce-hostname localhost").await;
    let pace = cratestack_tests::redis::Pace::default();
    for (kind, to) in [("unknown-endpoint", 1), ("hostname", 2), ("ip", 0)] {
        tell_all(&cluster, &format!("CONFIG SET cluster-preferred-endpoint-type {kind}")).await;
        let slot = cluster.servers()[0].tell::<u16>("CLUSTER KEYSLOT cratestack_idempotency:p:k0").await;
        let name = "how the nodes are called is known to all";
        until(name, async || {
            let slots: Vec<redis::Value> = cluster.servers()[0].tell("CLUSTER SLOTS").await;
            let told = format!("{slots:?}");
            (kind != "hostname" || !told.contains("'?'")).then_some(())
        })
        .await;
        // Knows of the slots from one node only, and learns the rest.
        let store = RedisStore::cluster(cluster.clients().into_iter().take(1)).unwrap();
        reserve_at_once(&store, (0..30).map(|n| format!("{kind} {n}"))).await;
        cluster.move_slots(slot..=slot, to, pace).await;
        let answer = store.reserve(claim("k0", HOUR)).await;
        assert!(matches!(answer, Ok(ClaimOutcome::Reserved { .. } | ClaimOutcome::InFlight)), "{kind}: {answer:?}");
    }
}

#[test]
fn clients_that_do_not_belong_together_are_refused() {
    let open = |url: &str| Client::open(url).unwrap();
    for (clients, why) in [
        (vec![], "at least one"),
        (vec![open("redis://a"), open("redis://user:secret@b")], "differ"),
        (vec![open("redis://:one@a"), open("redis://:secret@b")], "differ"),
        (vec![open("redis://a"), open("rediss://b")], "differ"),
        (vec![open("redis://a/1"), open("redis://b")], "differ"),
        (vec![open("unix:///tmp/redis")], "Unix"),
    ] {
        let Err(StoreError::Internal(text)) = RedisStore::cluster(clients) else { panic!("{why}") };
        assert!(text.contains(why) && !text.contains("secret"), "{text}");
    }
}
