//! What the attribute accepts, and how it says no. `tests/ui/fail` has one mistake per file and the message beside it.
//!
//! After a rustc upgrade: `TRYBUILD=overwrite cargo test -p cratestack-tests --test ui`, and read the difference.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn accepted_and_refused() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*.rs");
}

/// Mistakes of the attribute itself, whose place is its own line.
fn is_about_the_attribute(name: &str) -> bool {
    name.starts_with("option_") || name.starts_with("expression_") || name == "item_twice"
}

/// What rustc says by itself, at the right token but without a fix: of a name it knows no better than that nothing has it,
/// of an argument that is taken by value no more than that it has a reference; and `debug_handler` has run, and left no
/// trace, by the time that the attribute below it does.
const WITHOUT_A_FIX: [&str; 3] = ["expression_moved_argument", "expression_names_nothing", "item_below_debug_handler"];

fn messages() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/fail");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
        .into_iter()
        .map(|path| {
            (path.file_stem().expect("it has a name").to_string_lossy().into_owned(), path.with_extension("stderr"))
        })
        .collect()
}

/// One mistake, one error, at the user's own token, with the fix in it.
#[test]
fn every_message_follows_the_rule() {
    for (name, path) in messages() {
        let message = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let errors = message.lines().filter(|line| line.starts_with("error")).count();
        assert_eq!(errors, 1, "{name} is reported {errors} times:\n{message}");
        let source = fs::read_to_string(path.with_extension("rs")).expect("the case is there");
        let place = message.lines().find_map(|line| line.trim().strip_prefix("--> ")).expect("an error has a place");
        let line: usize = place.rsplit(':').nth(1).and_then(|line| line.parse().ok()).expect("a place has a line");
        let blamed = source.lines().nth(line - 1).expect("the line is there");
        assert_eq!(
            blamed.trim_start().starts_with("#[idempotent"),
            is_about_the_attribute(&name),
            "{name} is reported at {blamed:?}"
        );
        let signs = ["help:", "note: ", ";", "did you mean", "such as", "write "];
        // That a function is defined where it is, is no fix.
        let told = message.replace("note: function defined here", "");
        let has_a_fix = signs.iter().any(|sign| told.contains(sign));
        assert_eq!(has_a_fix, !WITHOUT_A_FIX.contains(&name.as_str()), "{name} and its fix:\n{message}");
    }
    assert!(messages().len() >= 45, "the catalogue has lost some of its mistakes");
}
