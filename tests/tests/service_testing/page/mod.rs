//! The code of docs/testing.md, as it is printed there: it is compiled, and its tests run.

mod charge;
mod three_tests;
mod transaction;

use std::fs;

/// Each block of the page is in one of these files, line by line.
#[test]
fn the_page_prints_what_is_tested_here() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let page = fs::read_to_string(format!("{root}/docs/testing.md")).unwrap();
    let files = ["charge", "three_tests", "transaction"]
        .map(|name| fs::read_to_string(format!("{root}/tests/tests/service_testing/page/{name}.rs")).unwrap());
    let blocks: Vec<&str> = page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 4, "the page has changed its form");
    for block in blocks {
        assert!(files.iter().any(|file| file.contains(block)), "no file here has this block of the page:\n{block}");
    }
}
