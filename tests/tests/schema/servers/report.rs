//! What `check` finds on servers that are not as they should be, and that its lines mend it.

use cratestack_schema::redis::{KeyPrefix, ServerNeeds};
use cratestack_tests::redis::Fsync;
use cratestack_tests::{RedisOptions, RedisServer};
use serde_json::Value;

use super::{check, check_with, command, remedies, to_mend, url_of, with_variables};

/// Runs the line that mends what was found; there is one.
async fn mend(server: &RedisServer, json: &Value, kind: &str) {
    let lines = remedies(json, kind);
    let [line] = lines[..] else { panic!("one line for {kind}: {json}") };
    let _: String = server.tell(line).await;
}

fn first_text(json: &Value) -> &str {
    json["findings"][0]["text"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_mended_by_its_line_until_nothing_is_found() {
    let server = RedisOptions::new().set("maxmemory", "200mb").set("maxmemory-policy", "volatile-lru").start().await;
    let url = server.url();
    let (code, json) = check(&url);
    assert_eq!((code, to_mend(&json)), (1, vec!["eviction", "persistence"]), "{json}");
    let text = command(&["check", "--redis-url", &url]);
    assert_eq!((text.code, text.stderr.as_str()), (1, ""));
    assert!(text.stdout.contains("is not as this program needs it: 2 to mend\n  eviction      "), "{}", text.stdout);

    mend(&server, &json, "eviction").await;
    let (code, json) = check(&url);
    assert_eq!((code, to_mend(&json)), (1, vec!["persistence"]), "{json}");
    assert!(first_text(&json).contains("nothing is written to disk"), "{json}");

    mend(&server, &json, "persistence").await;
    let (code, json) = check(&url);
    assert_eq!((code, to_mend(&json), json["clean"].as_bool()), (0, vec![], Some(true)), "{json}");
    assert!(first_text(&json).contains("a second or two of what was acknowledged is lost"), "{json}");

    mend(&server, &json, "persistence").await;
    let (code, json) = check(&url);
    assert_eq!((code, json["findings"].as_array().unwrap().len()), (0, 0), "{json}");
    let keys: usize = server.tell("DBSIZE").await;
    assert_eq!(keys, 0, "a check leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_alone_and_a_file_that_nobody_syncs_are_told_apart() {
    let snapshots = RedisOptions::new().set("save", "3600 1").start().await;
    let (code, json) = check(&snapshots.url());
    assert_eq!((code, to_mend(&json)), (1, vec!["persistence"]));
    assert!(first_text(&json).contains("snapshots only"), "{json}");

    let unsynced = RedisOptions::new().append_only(Fsync::No).start().await;
    let (code, json) = check(&unsynced.url());
    assert_eq!((code, to_mend(&json)), (1, vec!["persistence"]));
    assert!(first_text(&json).contains("appendfsync is no"), "{json}");
    mend(&unsynced, &json, "persistence").await;
    assert_eq!(check(&unsynced.url()).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_is_told_from_one_without_rights() {
    let server = RedisOptions::new().append_only(Fsync::Always).start().await;
    let _: String = server.tell("SET much xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx").await;
    let _: String = server.tell("CONFIG SET maxmemory 1").await;
    let (code, json) = check(&server.url());
    let found = to_mend(&json);
    assert!(code == 1 && found.contains(&"memory") && !found.contains(&"rights"), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_found_and_its_primary_named() {
    let group = RedisOptions::new().append_only(Fsync::Always).start_replicas(1).await;
    let (code, json) = check(&group.primary().url());
    assert_eq!((code, to_mend(&json)), (0, vec![]), "{json}");
    let replica = group.replicas().next().unwrap();
    let (code, json) = check(&group.servers()[replica].url());
    assert_eq!((code, to_mend(&json)), (1, vec!["role"]), "{json}");
    assert!(first_text(&json).contains("this is a replica, which refuses writes: connect to its primary, 127.0.0.1:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_is_no_server() {
    let group = RedisOptions::new().start_sentinels(1).await;
    let (code, json) = check(&group.urls()[0]);
    assert_eq!((code, to_mend(&json)), (1, vec!["topology"]), "{json}");
    assert!(first_text(&json).contains("this is a Sentinel"), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_primary_of_a_cluster_is_looked_at() {
    let cluster = RedisOptions::new().append_only(Fsync::Always).start_cluster().await;
    let urls = cluster.urls();
    // Two of them name all.
    let (code, json) = check(&format!("{},{}", urls[0], urls[4]));
    assert_eq!((code, to_mend(&json)), (0, vec![]), "{json}");
    assert_eq!(json["servers"].as_array().unwrap().len(), 3, "{json}");
    assert_eq!((json["cluster"].as_bool(), json["findings"].as_array().unwrap().len()), (Some(true), 0), "{json}");

    let (code, json) = check(&urls[0]);
    assert_eq!((code, to_mend(&json)), (1, vec!["topology"]), "{json}");
    let single = RedisServer::launch().await;
    let (code, json) = check_with(&["--redis-url", &single.url(), "--redis-url", &single.url()]);
    assert_eq!((code, to_mend(&json)), (1, vec!["topology", "persistence"]), "{json}");

    // One of them is not like the others: a policy, and a right of its user.
    let prefix = KeyPrefix::default();
    let rule = ServerNeeds::cluster().acl_rule(&prefix);
    for server in cluster.servers() {
        let _: String = server.tell(&format!("ACL SETUSER store on >secret {rule}")).await;
    }
    let primaries = cluster.primaries().await;
    let odd = &cluster.servers()[primaries[1]];
    let _: String = odd.tell("CONFIG SET maxmemory 100mb").await;
    let _: String = odd.tell("CONFIG SET maxmemory-policy allkeys-lru").await;
    let _: String = odd.tell("ACL SETUSER store -spublish").await;
    let as_store = |index: usize| url_of(&cluster.servers()[index], "store", "secret");
    let (code, json) = check(&format!("{},{}", as_store(0), as_store(2)));
    assert_eq!((code, to_mend(&json)), (1, vec!["eviction", "rights"]), "{json}");
    let address = format!("127.0.0.1:{}", odd.port());
    for finding in json["findings"].as_array().unwrap().iter().filter(|finding| finding["must_mend"] == true) {
        assert_eq!(finding["address"], *address, "{json}");
    }
    mend(odd, &json, "eviction").await;
    mend(odd, &json, "rights").await;
    let (code, json) = check(&format!("{},{}", as_store(0), as_store(2)));
    assert_eq!((code, to_mend(&json)), (0, vec![]), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_may_be_encrypted_and_may_come_from_the_environment() {
    let server = RedisOptions::new().append_only(Fsync::Always).password("secret,with@").tls().start().await;
    let url = format!("rediss://:secret,with%40@127.0.0.1:{}", server.port());
    let trusted = server.directory().join("authority.pem");
    let variables = [("REDIS_URL", url.as_str()), ("SSL_CERT_FILE", trusted.to_str().unwrap())];
    let done = with_variables(&["check", "--redis-url"], &variables);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{}", done.stdout);
    assert!(done.stdout.contains("is as this program needs it"), "{}", done.stdout);

    // A certificate of an authority that nobody here knows.
    let done = with_variables(&["check", "--redis-url"], &variables[..1]);
    assert_eq!((done.code, done.stdout.as_str()), (2, ""));
    assert!(!done.stderr.contains("secret") && done.stderr.contains("ertificate"), "{}", done.stderr);
}
