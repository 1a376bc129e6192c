//! The page for whoever runs the servers tells of what the command finds and what the store needs.

use std::collections::BTreeSet;

use cratestack_schema::redis::{KeyPrefix, ServerFindingKind, ServerNeeds};
use cratestack_tests::RedisServer;
use serde_json::Value;

use super::command;

const PAGE: &str = include_str!("../../../../docs/redis-server.md");
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

fn words(text: &str) -> BTreeSet<&str> {
    text.split_whitespace().filter(|word| word.starts_with('+')).collect()
}

#[test]
fn the_user_of_the_page_has_the_rights_that_the_store_needs() {
    let prefix = KeyPrefix::default();
    let single = ServerNeeds::single().acl_rule(&prefix);
    let line: Vec<_> = PAGE.split_whitespace().collect();
    assert!(line.join(" ").contains(&single), "the page has another rule than\n{single}");
    let row = |needs: ServerNeeds, needed: &str, without: &str| {
        let (rule, needed, without) = (needs.acl_rule(&prefix), needed.replace('\\', ""), without.replace('\\', ""));
        let expected: BTreeSet<_> = words(&single).union(&words(&needed)).copied().collect();
        assert_eq!(words(&rule), expected.difference(&words(&without)).copied().collect(), "{needed}");
    };
    let of = |what: &str| {
        let line =
            PAGE.lines().find(|line| line.starts_with(&format!("| {what} |"))).unwrap_or_else(|| panic!("{what}"));
        let marked: Vec<_> = line.split('`').skip(1).step_by(2).filter(|text| text.starts_with('+')).collect();
        (marked[0].to_owned(), marked.get(1).copied().unwrap_or_default().to_owned())
    };
    let (needed, _) = of("behind Sentinel");
    row(ServerNeeds::sentinel(), &needed, "");
    let (needed, without) = of("on a Cluster");
    row(ServerNeeds::cluster(), &needed, &without);
    let (needed, _) = of("`acknowledged_by(n)`");
    row(ServerNeeds::single().acknowledged_by(1), &needed, "");
    let (needed, _) = of("`synced_to_disk(true)`");
    row(ServerNeeds::single().synced_to_disk(true), &needed, "");
}

#[test]
fn the_page_tells_of_every_kind_of_finding() {
    use ServerFindingKind as Kind;

    for kind in [
        Kind::Version,
        Kind::Topology,
        Kind::Role,
        Kind::Availability,
        Kind::Eviction,
        Kind::Memory,
        Kind::Persistence,
        Kind::Replication,
        Kind::Rights,
        Kind::Unseen,
    ] {
        assert!(PAGE.contains(&format!("\n| {kind} | ")), "no row for {kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_operations_lists_every_member_of_the_json() {
    let server = RedisServer::launch().await;
    for name in ["check", "stats"] {
        let row = OPERATIONS.lines().find(|line| line.starts_with(&format!("| `{name} --redis-url` |"))).unwrap();
        let done = command(&[name, "--json", "--redis-url", &server.url()]);
        let json: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr));
        let nested = ["servers", "findings"].iter().filter_map(|list| json[list].get(0)).chain([&json]);
        let members: Vec<_> = nested.flat_map(|value| value.as_object().unwrap().keys()).collect();
        assert!(members.len() > 6, "{members:?}");
        for member in members {
            assert!(row.contains(&format!("`{member}`")), "no `{member}` of {name} in {row}");
        }
    }
}
