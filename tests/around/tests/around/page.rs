//! docs/around.md says what these tests show, of the versions that they run with.

use std::collections::BTreeSet;
use std::fs;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn read(path: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of the page's table, cell by cell.
fn rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| crate "));
    rows.map(|row| row.split(" | ").map(|cell| cell.trim_matches(['|', ' ']).to_owned()).collect()).collect()
}

#[test]
fn the_versions_of_the_table_are_those_of_the_lock_file() {
    let (page, lock) = (read("docs/around.md"), read("tests/around/Cargo.lock"));
    let rows = rows(&page);
    assert!(rows.len() > 12, "the page has changed its form: {rows:?}");
    for row in rows {
        let name = row[0].split('`').nth(1).unwrap_or_else(|| panic!("no crate in {row:?}"));
        let locked = format!("name = \"{name}\"\nversion = \"{}.", row[1]);
        assert!(lock.contains(&locked), "{name} {} is not what the tests run with", row[1]);
    }
}

/// Each test is told of on the page, and each that is told of is there.
#[test]
fn the_page_names_every_test() {
    let page = read("docs/around.md");
    let mut there = BTreeSet::new();
    for module in ["callers", "extractors", "graphql", "http2", "in_the_wild", "json_rpc", "layers", "openapi"] {
        let text = read(&format!("tests/around/tests/around/{module}.rs"));
        for test in text.split("#[tokio::test]").skip(1) {
            let name = test.split("async fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap();
            there.insert(name.to_owned());
        }
    }
    // A name that is as long is a test's, or a code.
    let is_test = |name: &&str| {
        let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
        name.len() > 20 && is_name && !name.starts_with("idempotency_")
    };
    let named: BTreeSet<_> = page.split('`').skip(1).step_by(2).filter(is_test).map(str::to_owned).collect();
    assert_eq!(named, there);
}
