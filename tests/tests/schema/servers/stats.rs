//! `stats` counts what a store has written, on one server and on all primaries of a Cluster.

use std::time::Duration;

use bytes::Bytes;
use cratestack_runtime::{Claim, ClaimOutcome, Completion, IdempotencyStore, RedisStore};
use cratestack_schema::redis::KeyPrefix;
use cratestack_tests::{RedisOptions, RedisServer};
use serde_json::Value;

use super::command;

const HOUR: Duration = Duration::from_secs(3_600);
const RUNNING: u64 = 700;
const DEAD: u64 = 30;
const FINISHED: u64 = 40;

fn claim(key: &str) -> Claim<'_> {
    Claim { principal: "p:1", key, request_hash: [0; 32], lease: HOUR, retention: 2 * HOUR }
}

/// Records of each kind, and other keys beside them.
async fn fill(store: &RedisStore) {
    for number in 0..RUNNING {
        store.reserve(claim(&format!("running {number}"))).await.unwrap();
    }
    for number in 0..DEAD {
        let key = format!("dead {number}");
        store.reserve(Claim { lease: Duration::ZERO, ..claim(&key) }).await.unwrap();
    }
    for number in 0..FINISHED {
        let key = format!("done {number}");
        let claim = claim(&key);
        let claim = Claim { lease: Duration::ZERO, retention: HOUR, ..claim };
        store.reserve(claim).await.unwrap();
        // Taken over, once the lease has ended: the second attempt finishes.
        let token = loop {
            if let ClaimOutcome::Reserved { token, attempt: 2, .. } = store.reserve(claim).await.unwrap() {
                break token;
            }
        };
        let body = &Bytes::from(vec![b'x'; 1_000]);
        let completion = Completion { principal: "p:1", key: &key, token, status: 201, headers: b"head", body };
        store.finish(completion).await.unwrap();
    }
}

fn stats(arguments: &[&str]) -> Value {
    let done = command(&[&["stats", "--json"], arguments].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

fn assert_counts(json: &Value) {
    for (name, count) in [
        ("rows", RUNNING + DEAD + FINISHED),
        ("in_flight", RUNNING),
        ("past_lease", DEAD),
        ("finished", FINISHED),
        ("expired", 0),
        ("attempts_over_one", FINISHED),
        ("response_bytes", FINISHED * 1_004),
    ] {
        assert_eq!(json[name], count, "{name} in {json}");
    }
    let number = |name: &str| json[name].as_i64().unwrap_or_else(|| panic!("{name} in {json}"));
    assert!((3_000..=3_600).contains(&number("next_expiry_seconds")), "{json}");
    assert!((6_600..=7_200).contains(&number("last_expiry_seconds")), "{json}");
    assert!(number("sampled") > 0 && number("memory_bytes") > number("response_bytes"), "{json}");
    let of_each: u64 = json["servers"].as_array().unwrap().iter().map(|server| server["rows"].as_u64().unwrap()).sum();
    assert_eq!(of_each, RUNNING + DEAD + FINISHED, "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_counted_by_their_state_and_other_keys_are_not() {
    let server = RedisServer::launch().await;
    let prefix = KeyPrefix::new("p[a]y:").unwrap();
    let url = ["--redis-url", &server.url(), "--redis-prefix", prefix.as_str()];
    let nothing = stats(&url);
    assert_eq!((&nothing["rows"], &nothing["oldest_seconds"]), (&Value::from(0), &Value::Null), "{nothing}");

    fill(&RedisStore::new(server.client()).prefix(prefix.clone())).await;
    // A hash and a text that are no records; the mark of removals; and what only a careless pattern would match.
    let _: usize = server.tell("HSET p[a]y:a:b attempt first").await;
    for name in ["p[a]y:a:c", &prefix.removal_mark(), "pay:a:b", "other"] {
        let _: String = server.tell(&format!("SET {name} x")).await;
    }
    let json = stats(&url);
    assert_counts(&json);
    assert_eq!(json["other_keys"], 2, "{json}");

    let done = command(&[&["stats"], &url[..]].concat());
    for line in ["records                        770\n", "past their lease                30\n", "other keys"] {
        assert!(done.stdout.contains(line), "{}", done.stdout);
    }
    assert!(done.stderr.starts_with("looked at in "), "{}", done.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primaries_of_a_cluster_are_counted_together() {
    let cluster = RedisOptions::new().start_cluster().await;
    fill(&RedisStore::cluster(cluster.client()).unwrap()).await;
    let urls = cluster.urls();
    // Asked by way of replicas: a replica has what its primary has, and is not counted.
    let json = stats(&["--redis-url", &urls[3], "--redis-url", &urls[4]]);
    assert_counts(&json);
    let servers = json["servers"].as_array().unwrap();
    assert!(servers.len() == 3 && servers.iter().all(|server| server["rows"].as_u64() > Some(0)), "{json}");
}
