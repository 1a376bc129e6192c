//! docs/clients.md says what the runs have shown, and its code is the code that ran. `BLESS=1` writes its table.

use std::fs;
use std::path::{Path, PathBuf};

use crate::facts::{self, Facts};

const HEAD: &str = "| client | a lost connection | its own timeout | 503 | 500 | 409 | `Retry-After` | an answer that breaks off |\n\
                    |---|---|---|---|---|---|---|---|\n";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn page() -> PathBuf {
    root().join("docs/clients.md")
}

fn row(facts: &Facts) -> String {
    let Facts { name, settings, .. } = facts;
    let anchor = settings.to_lowercase().replace(' ', "-").replace('\'', "");
    let again = |resends: bool| if resends { "again" } else { "**given up**" };
    let read = if facts.honours_retry_after { "kept" } else { "**not read**" };
    let broken = if facts.resends_broken { "again" } else { "raised" };
    let cells = [facts.resends_lost, facts.resends_timeout, facts.resends_503].map(again).join(" | ");
    // The one that is rather not sent again.
    let failed = if facts.resends_500 { "**again**" } else { "given up" };
    let running = again(facts.resends_409);
    format!("| [{name}](#{anchor}) | {cells} | {failed} | {running} | {read} | {broken} |\n")
}

#[test]
fn the_table_is_what_the_runs_hold() {
    let table: String = HEAD.to_owned() + &facts::ALL.iter().map(row).collect::<String>();
    let text = fs::read_to_string(page()).expect("the page is there");
    if std::env::var_os("BLESS").is_some() {
        let before = text.find("| client | a lost connection").expect("there is a table");
        let length = text[before..].find("\n\n").expect("a line ends the table") + 1;
        fs::write(page(), [&text[..before], &table, &text[before + length..]].concat())
            .expect("the page can be written");
        return;
    }
    assert!(text.contains(&table), "docs/clients.md should have this table; BLESS=1 writes it:\n{table}");
}

#[test]
fn the_versions_are_those_of_the_lock_files() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(package.join(name)).expect("the lock files are there");
    let python = read("clients/python/requirements.txt");
    let node = read("clients/node/package-lock.json");
    let cargo = read("Cargo.lock");
    let mut checked = 0;
    for part in facts::ALL.iter().flat_map(|facts| facts.name.split(", ")) {
        let (name, version) = part.rsplit_once(' ').expect("a name and a version");
        // These two are the machine's.
        if name == "curl" || name.contains("Node") {
            continue;
        }
        let of_stripe = |language: &str| name == format!("stripe-{language}");
        let is_locked = python.lines().any(|line| line == format!("{name}=={version}"))
            || of_stripe("python") && python.lines().any(|line| line == format!("stripe=={version}"))
            || node.contains(&format!("\"node_modules/{name}\": {{\n      \"version\": \"{version}\""))
            || of_stripe("node")
                && node.contains(&format!("\"node_modules/stripe\": {{\n      \"version\": \"{version}\""))
            || cargo.contains(&format!("name = \"{name}\"\nversion = \"{version}\""));
        assert!(is_locked, "{part} is in no lock file");
        checked += 1;
    }
    assert_eq!(checked, 12);
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

#[test]
fn the_pages_code_is_the_code_that_runs() {
    let text = fs::read_to_string(page()).expect("the page is there");
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = vec![root().join("examples/wait.rs")];
    for folder in ["clients", "src"] {
        files(&package.join(folder), &mut sources);
    }
    let read = |path: &PathBuf| fs::read_to_string(path).expect("sources are text");
    // A fence's first line is its language.
    let blocks: Vec<_> = text.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect();
    for (_, block) in &blocks {
        assert!(
            sources.iter().any(|path| read(path).contains(block)),
            "no source has this block of the page:\n{block}"
        );
    }
    // And each client's settings are there as a whole.
    let settings = sources.iter().filter(|path| {
        path.file_name().is_some_and(|name| name == "pay.sh" || name.to_string_lossy().starts_with("with_"))
    });
    let mut shown = 0;
    for path in settings {
        let whole = read(path);
        assert!(blocks.iter().any(|(_, block)| *block == whole), "the page does not have {}", path.display());
        shown += 1;
    }
    assert_eq!(shown, 12);
}

#[test]
fn no_line_of_the_page_is_wider_than_120() {
    let text = fs::read_to_string(page()).expect("the page is there");
    let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 120 && !line.starts_with('|')).collect();
    assert!(wide.is_empty(), "{wide:#?}");
}
