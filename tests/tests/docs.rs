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
    let root = root();
    let page = fs::read_to_string(root.join("docs/guarantees.md")).expect("the page is there");
    let mut tests = String::new();
    sources(&root.join("tests/tests"), &mut tests);
    sources(&root.join("tests/interop/tests"), &mut tests);
    sources(&root.join("tests/model/tests"), &mut tests);
    sources(&root.join("cratestack-runtime/src/conformance"), &mut tests);
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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above")
}

fn in_backquotes(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A path as the pages write it: from the root, or from the runtime's sources.
fn found(path: &str) -> Option<std::path::PathBuf> {
    [root().join(path), root().join("cratestack-runtime/src").join(path)].into_iter().find(|path| path.exists())
}

#[test]
fn every_file_that_the_map_names_is_there() {
    let mut checked = 0;
    for page in ["docs/architecture.md", "docs/adding.md"] {
        let text = fs::read_to_string(root().join(page)).expect("the page is there");
        // A fence has three backquotes, and what is in it is no path.
        let prose: String = text.split("```").step_by(2).collect();
        for name in in_backquotes(&prose) {
            let is_path =
                name.contains('/') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
            if is_path && !name.contains("NAME") {
                assert!(found(name).is_some(), "{page} names `{name}`, which is not there");
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "only {checked} paths were found: have the pages changed their form?");
}

/// Whether a source has an item of exactly this name.
fn defines(source: &str, name: &str) -> bool {
    ["struct", "enum", "trait", "fn"].iter().any(|kind| {
        source
            .split(&format!("{kind} {name}"))
            .skip(1)
            .any(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[test]
fn every_term_of_the_glossary_has_its_type_in_its_file() {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("the page is there");
    let (_, glossary) = text.split_once("## Glossary").expect("there is a glossary");
    let mut checked = 0;
    for row in glossary.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let sources: String = in_backquotes(cells[4])
            .filter_map(|path| found(path).filter(|path| path.is_file()))
            .map(|path| fs::read_to_string(path).expect("sources are text"))
            .collect();
        assert!(!sources.is_empty(), "no file in: {row}");
        let first = in_backquotes(cells[3]).next().unwrap_or_else(|| panic!("no type in: {row}"));
        let name = first.split("::").next().unwrap_or(first);
        assert!(defines(&sources, name), "`{name}` is not defined in a file of: {row}");
        checked += 1;
    }
    assert!(checked > 20, "only {checked} terms were found: has the page changed its form?");
}

/// The pages that readers of the repository meet.
fn pages() -> Vec<std::path::PathBuf> {
    let is_page = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    let folders = ["", "docs", "examples"].map(|folder| root().join(folder));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("the folder is there"));
    entries.map(|entry| entry.expect("an entry can be read").path()).filter(|path| is_page(path)).collect()
}

/// What a link to a heading names it by: small letters, no punctuation, hyphens for spaces.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("the page is there");
        // A fence has three backquotes, and what is in it is no link.
        let prose: String = text.split("```").step_by(2).collect();
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let folder = page.parent().expect("a page is in a folder");
            let target = if file.is_empty() { page.clone() } else { folder.join(file) };
            assert!(target.exists(), "{}: `{link}` leads nowhere", page.display());
            if let Some(heading) = heading {
                let target = fs::read_to_string(&target).expect("a page is text");
                let mut headings = target.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(headings.any(|known| known == heading), "{}: `{link}` has no such heading", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} links were found: have the pages changed their form?");
}
