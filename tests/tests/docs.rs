//! What the documentation says of this project's own tests is true.

use std::fs;
use std::path::Path;

fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).expect("sources are text"));
        }
    }
}

/// Codes, and settings of Postgres and of a pooler.
const NO_TESTS: [&str; 4] =
    ["idempotency_response_not_replayable", "max_prepared_statements", "synchronous_commit", "tcp_keepalives_idle"];

#[test]
fn every_guarantee_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above");
    let page = fs::read_to_string(root.join("docs/guarantees.md")).expect("the page is there");
    let mut tests = String::new();
    sources(&root.join("tests/tests"), &mut tests);
    sources(&root.join("tests/interop/tests"), &mut tests);
    sources(&root.join("tests/model/tests"), &mut tests);
    sources(&root.join("cratestack-runtime/src/testing"), &mut tests);
    let mut checked = 0;
    for name in page.split('`').skip(1).step_by(2) {
        let is_test =
            name.len() > 15 && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
        if is_test && !NO_TESTS.contains(&name) {
            assert!(tests.contains(name), "docs/guarantees.md names `{name}`, and no test has that name");
            checked += 1;
        }
    }
    assert!(checked > 25, "only {checked} names were found: has the page changed its form?");
}
