//! One suite, every kind of server, with group commit and without.

use std::sync::Arc;
use std::time::Duration;

use cratestack_runtime::RedisStore;
use cratestack_runtime::testing::{Conformance, Report, Verdict};
use cratestack_tests::RedisOptions;
use cratestack_tests::redis::{Pace, RedisServer};

use crate::service::{on, on_cluster, shared, through};

/// The server drops what has expired, so there is nothing to sweep; all else is kept.
fn every_promise(what: &str, report: &Report, is_stalled: bool) {
    println!("{report}");
    report.assert();
    let (passed, others): (Vec<_>, Vec<_>) = report.checks().iter().partition(|check| check.verdict == Verdict::Passed);
    println!("TABLE {what}: {} of {} passed", passed.len(), report.checks().len());
    let skipped = |name: &str| name.starts_with("sweep_") || (!is_stalled && name.contains("_that_waited_"));
    assert!(others.iter().all(|check| skipped(check.name)), "{report}");
}

/// Lets writes wait until it is dropped.
struct Paused(Vec<redis::Client>);

impl Paused {
    async fn at(clients: Vec<redis::Client>) -> Self {
        for client in &clients {
            tell(client, &["CLIENT", "PAUSE", "600000", "WRITE"]).await;
        }
        Self(clients)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        for client in self.0.drain(..) {
            tokio::spawn(async move { tell(&client, &["CLIENT", "UNPAUSE"]).await });
        }
    }
}

async fn tell(client: &redis::Client, words: &[&str]) {
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query_async::<()>(&mut connection).await.unwrap();
}

fn stalled(suite: Conformance, servers: &[&RedisServer]) -> Conformance {
    let clients: Vec<_> = servers.iter().map(|server| server.client()).collect();
    suite.stall_writes(move || Paused::at(clients.clone()))
}

async fn run(what: &str, suite: Conformance, store: RedisStore, is_stalled: bool) {
    for group_commit in [true, false] {
        let store = store.clone().group_commit(group_commit);
        let report = suite.clone().run(|| async { store.clone() }).await;
        every_promise(&format!("{what}, group commit {group_commit}"), &report, is_stalled);
    }
}

fn suite() -> Conformance {
    Conformance::new().unit(Duration::from_millis(200)).model_runs(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_server_keeps_every_promise() {
    let server = RedisServer::launch().await;
    run("single", stalled(suite(), &[&server]), on(&server), true).await;
}

/// Each check has a store of its own, as another process would.
#[tokio::test(flavor = "multi_thread")]
async fn stores_that_share_nothing_but_the_server_keep_every_promise() {
    let (redis, _) = shared().await;
    let url = redis.url().to_owned();
    let report = suite().run(|| async { RedisStore::new(redis::Client::open(url.as_str()).unwrap()) }).await;
    println!("{report}");
    report.assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_that_sentinel_names_keeps_every_promise() {
    let sentinels = RedisOptions::new().start_sentinels(1).await;
    run("Sentinel", stalled(suite(), &[&sentinels.servers()[0]]), through(&sentinels), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_replica_acknowledges_keeps_every_promise() {
    let replicas = RedisOptions::new().start_replicas(1).await;
    let store = on(replicas.primary()).acknowledged_by(1);
    run("acknowledged by 1", stalled(suite(), &[replicas.primary()]), store, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_every_promise() {
    let cluster = RedisOptions::new().start_cluster().await;
    let primaries: Vec<_> = cluster.servers()[..3].iter().collect();
    run("Cluster", stalled(suite(), &primaries), on_cluster(&cluster), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_replicas_acknowledge_keeps_every_promise() {
    let cluster = RedisOptions::new().start_cluster().await;
    let primaries: Vec<_> = cluster.servers()[..3].iter().collect();
    run("Cluster, acknowledged by 1", stalled(suite(), &primaries), on_cluster(&cluster).acknowledged_by(1), true)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_slots_move_keeps_every_promise() {
    let cluster = Arc::new(RedisOptions::new().start_cluster().await);
    let moving = tokio::spawn({
        let cluster = Arc::clone(&cluster);
        async move {
            let pace = Pace { keys: 2, pause: Duration::from_millis(1) };
            let mut moved = 0;
            // Each third of the slots goes round, a stretch at a time.
            for to in (0..3).cycle() {
                for first in [200, 5_800, 11_200] {
                    cluster.move_slots(first..=first + 40, to, pace).await;
                    moved += 41;
                    println!("{moved} slots were looked at");
                }
            }
        }
    });
    // To stall the writes of a node would stall its slots, too.
    run("Cluster whose slots move", suite(), on_cluster(&cluster), false).await;
    assert!(!moving.is_finished(), "slots moved until the end");
    moving.abort();
}
