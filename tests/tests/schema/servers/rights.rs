//! What a user of the store needs: with it everything works and nothing is refused, without any part of it `check` says
//! which, and its line grants that part.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cratestack_runtime::RedisStore;
use cratestack_runtime::testing::Conformance;
use cratestack_schema::redis::{KeyPrefix, ServerNeeds};
use cratestack_tests::redis::Fsync;
use cratestack_tests::{RedisOptions, RedisServer};

use super::{check_with, command, remedies, to_mend, url_of};

const PREFIX: &str = "pay*[1]:";

fn rule() -> String {
    ServerNeeds::single().acl_rule(&KeyPrefix::new(PREFIX).unwrap())
}

async fn server_with_a_user(rule: &str) -> RedisServer {
    let server = RedisOptions::new().append_only(Fsync::Always).start().await;
    let _: String = server.tell(&format!("ACL SETUSER store on >secret {rule}")).await;
    server
}

fn check_as_store(server: &RedisServer) -> (i32, serde_json::Value) {
    check_with(&["--redis-url", &url_of(server, "store", "secret"), "--redis-prefix", PREFIX])
}

/// What the server has refused to somebody since it started.
async fn refused(server: &RedisServer) -> String {
    let entries: redis::Value = server.tell("ACL LOG").await;
    if entries == redis::Value::Array(Vec::new()) { String::new() } else { format!("{entries:?}") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_rule_is_refused_nothing_that_the_store_does() {
    let server = server_with_a_user(&rule()).await;
    let client = redis::Client::open(url_of(&server, "store", "secret")).unwrap();
    let store = RedisStore::new(client).prefix(KeyPrefix::new(PREFIX).unwrap());
    let report = Conformance::new().run(|| async { store.clone() }).await;
    report.assert();
    assert_eq!(refused(&server).await, "");

    let (code, json) = check_as_store(&server);
    assert_eq!((code, to_mend(&json)), (0, vec![]), "{json}");
    let url = url_of(&server, "store", "secret");
    let stats = command(&["stats", "--json", "--redis-url", &url, "--redis-prefix", PREFIX]);
    assert_eq!(stats.code, 0, "{}", stats.stderr);
    let json: serde_json::Value = serde_json::from_str(&stats.stdout).unwrap();
    assert!(json["rows"].as_u64() > Some(0) && json["other_keys"] == 0, "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_the_rule_that_is_missing_is_found_and_granted() {
    let rule = rule();
    let server = server_with_a_user(&rule).await;
    let take = async |what: &str| {
        let _: String = server.tell(&format!("ACL SETUSER store {what}")).await;
    };
    let commands: Vec<_> = rule.split(' ').filter_map(|part| part.strip_prefix('+')).collect();
    assert!(commands.len() > 15, "{rule}");
    for part in commands.iter().map(|name| format!("-{name}")).chain(["resetkeys".into(), "resetchannels".into()]) {
        take(&part).await;
        let (code, json) = check_as_store(&server);
        assert_eq!((code, to_mend(&json)), (1, vec!["rights"]), "{part}: {json}");
        let lines = remedies(&json, "rights");
        let [line] = lines[..] else { panic!("{part}: {json}") };
        assert!(line.starts_with("ACL SETUSER store "), "{line}");
        if part.starts_with('-') && part != "-eval" {
            assert_eq!(line, format!("ACL SETUSER store {}", part.replacen('-', "+", 1)), "no more than is missing");
        }
        let _: String = server.tell(line).await;
        let (code, json) = check_as_store(&server);
        assert_eq!((code, to_mend(&json)), (0, vec![]), "after {line}: {json}");
    }
    assert_eq!(server.tell::<usize>("DBSIZE").await, 0, "a check leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_do_nothing_is_helped_in_two_rounds() {
    let server = server_with_a_user("resetkeys resetchannels -@all").await;
    for round in 1.. {
        let (code, json) = check_as_store(&server);
        if code == 0 {
            break;
        }
        assert!(round <= 2, "{json}");
        assert_eq!(to_mend(&json), ["rights"], "{json}");
        for line in remedies(&json, "rights") {
            let _: String = server.tell(line).await;
        }
    }
}

#[test]
fn the_rule_has_every_command_that_a_script_calls() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cratestack-runtime/src/stores/redis/scripts");
    let mut called = BTreeSet::new();
    for entry in fs::read_dir(scripts).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for call in ["redis.call('", "redis.pcall('"] {
            let after = text.split(call).skip(1);
            called.extend(after.map(|rest| rest.split('\'').next().unwrap().to_ascii_lowercase()));
        }
    }
    assert!(called.len() > 10, "{called:?}");
    let prefix = KeyPrefix::default();
    let (single, cluster) = (ServerNeeds::single().acl_rule(&prefix), ServerNeeds::cluster().acl_rule(&prefix));
    let has = |rule: &str, name: &str| rule.split(' ').any(|part| part == format!("+{name}"));
    for name in &called {
        match name.as_str() {
            "spublish" => assert!(has(&cluster, name)),
            // On a Cluster where channels of one node are not to be had.
            "publish" => assert!(has(&single, name)),
            _ => assert!(has(&single, name) && has(&cluster, name), "{name} is in no rule"),
        }
    }
    // And none that nobody calls.
    let sent = ["ping", "info", "eval", "evalsha", "scan", "get", "set", "subscribe", "unsubscribe"];
    for name in single.split(' ').filter_map(|part| part.strip_prefix('+')) {
        assert!(called.contains(name) || sent.contains(&name), "nobody calls {name}");
    }
}
