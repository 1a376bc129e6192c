//! The house keeps its shape: no import goes up, no files need each other, no file is long.
//!
//! What the tests read is the sources' tokens, not what the compiler makes of them: `use` lines, and paths in the code.
//! Tests are left out wherever they stand.

// A test panics where its expectation fails.
#![allow(clippy::unwrap_used)]

mod circles;
mod fabricated;
mod layers;
mod package;
mod source;

use std::{collections::BTreeMap, fs, path::Path};

use package::Package;

const MOST_LINES: usize = 400;
const MOST_LINES_OF_THE_MEDIAN: usize = 150;

const RUNTIME: (&str, &str) = ("cratestack-runtime/src", "lib.rs");
const MACROS: (&str, &str) = ("cratestack-macros/src", "lib.rs");
const SCHEMA: (&str, &str) = ("schema/src", "lib.rs");
const COMMAND: (&str, &str) = ("schema/src/cli", "main.rs");

/// Every source below a folder of the workspace, by its path from there.
fn sources(folder: &str) -> BTreeMap<String, String> {
    fn read(folder: &Path, above: &Path, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, above, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(above).unwrap().to_str().unwrap().to_owned();
                into.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(folder);
    let mut sources = BTreeMap::new();
    read(&folder, &folder, &mut sources);
    sources
}

fn package((folder, root): (&str, &str)) -> Package {
    Package::new(&sources(folder), root)
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{} {what}:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_import_of_the_runtime_goes_up() {
    assert_none("imports that go up", &layers::arrows_up(&package(RUNTIME).imports()));
}

#[test]
fn the_schema_imports_nothing_of_ours() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/Cargo.toml")).unwrap();
    let ours = |line: &&str| line.starts_with("cratestack-runtime") || line.starts_with("cratestack-macros");
    assert_eq!(manifest.lines().find(ours), None, "a dependency");
    for (file, text) in sources(SCHEMA.0) {
        let source = source::Source::parse(&text);
        let imports = source.imports.iter().map(|import| &import.path);
        for path in imports.chain(&source.paths) {
            let first = path.segments.first().map_or("", String::as_str);
            let is_ours = matches!(first, "cratestack_runtime" | "cratestack_macros");
            assert!(!is_ours, "schema/src/{file}:{}: {}", path.line, path.segments.join("::"));
        }
    }
}

#[test]
fn no_files_of_a_crate_import_each_other() {
    let mut found = Vec::new();
    for place in [RUNTIME, MACROS, SCHEMA, COMMAND] {
        let circles = circles::circles(&package(place).imports());
        found.extend(circles.into_iter().map(|circle| format!("{}: {circle}", place.0)));
    }
    assert_none("circles", &found);
}

/// Without what is for tests only.
#[test]
fn no_file_is_long_and_most_are_short() {
    let mut lengths = Vec::new();
    for place in [RUNTIME, MACROS, SCHEMA, COMMAND] {
        let sources = sources(place.0);
        for (file, tests) in Package::new(&sources, place.1).test_lines {
            lengths.push((sources[&file].lines().count() - tests, format!("{}/{file}", place.0)));
        }
    }
    lengths.sort();
    let mut wrong: Vec<String> = lengths
        .iter()
        .filter(|(lines, _)| *lines > MOST_LINES)
        .map(|(lines, file)| format!("{file}: {lines} lines"))
        .collect();
    let (median, _) = lengths[lengths.len() / 2];
    if median > MOST_LINES_OF_THE_MEDIAN {
        wrong.push(format!("the median of {} files: {median} lines", lengths.len()));
    }
    assert_none("lengths beyond the bounds", &wrong);
}
