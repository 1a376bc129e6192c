//! What compiles, and what the compiler says of what does not: the reference of `#[idempotent]`.
//!
//! - `ui/fail/`: one mistake a file, its message beside it. `TRYBUILD=overwrite cargo test -p cratestack-tests --test
//!   ui` writes the messages anew.
//! - `ui/pass/`: what is legal stays so, in two editions, without a warning of the compiler or of clippy.
//! - `ui/renamed/`: the same in a crate that gives the runtime another name.
//! - `ui/transaction/`: the same with a store that has transactions.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("ui/fail/*.rs");
}

/// The mistakes whose place is the attribute itself.
const MISTAKES_OF_THE_ATTRIBUTE: [&str; 1] = ["twice"];

/// What is still short of the rule, and why.
const SHORT: [(&str, &str); 13] = [
    ("argument_of_another_handler", "a plain type error in the user's own call; nothing of ours takes part in it"),
    (
        "debug_handler_above",
        "it calls the handler with the arguments that it saw, and rustc reports their number first",
    ),
    ("expression_moves_into_call", "only rustc knows what a function takes; it names both types"),
    (
        "expression_mutates",
        "only rustc knows which methods change their receiver; it says that the argument is borrowed",
    ),
    ("expression_names_nothing", "a static could have the name; rustc says that it finds none"),
    ("expression_of_unbound_pattern", "as above"),
    ("function_argument_not_static", "only rustc knows what a type parameter holds; it names the bound, twice"),
    ("handle_as_type", "a constant could have the name; rustc says that it is a type's"),
    ("handle_names_nothing", "a static could have the name; rustc says that it finds none"),
    ("in_module_value_missing", "a plain type error in the user's own block; nothing of ours takes part in it"),
    ("on_closure", "rustc refuses attributes on expressions itself, twice, before it asks the macro"),
    (
        "step_in_transaction_of_plain_reservation",
        "rustc says which method is not there for which type, and of a closure for it nothing else could be inferred",
    ),
    ("on_method_of_trait_impl", "the macro sees the method alone; rustc says that the trait has other arguments"),
];

/// One error, at the user's token, with what to write instead.
#[test]
fn every_mistake_is_one_error_that_names_the_fix() {
    let sources = sources(Path::new("ui/fail"));
    assert!(sources.len() >= 45);
    let mut wrong = String::new();
    for source in sources {
        let message = Message::of(&source);
        let short = SHORT.iter().any(|(name, _)| *name == message.name);
        let flaw = message.flaw();
        println!("{:45} {:4} {}", message.name, message.line, message.text.lines().next().unwrap_or_default());
        match flaw {
            Some(flaw) if !short => writeln!(wrong, "{}: {flaw}", message.name),
            None if short => writeln!(wrong, "{}: up to the rule now, so no exception any more", message.name),
            _ => Ok(()),
        }
        .expect("a string takes everything");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A pinned message.
struct Message {
    name: String,
    text: String,
    /// The line of the primary span.
    line: usize,
    /// The source from the primary span on.
    token: String,
}

impl Message {
    fn of(source: &Path) -> Self {
        let name = source.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let pinned = source.with_extension("stderr");
        let text = fs::read_to_string(&pinned).unwrap_or_else(|error| panic!("{}: {error}", pinned.display()));
        let place = text.lines().find_map(|line| line.trim_start().strip_prefix("--> "));
        let mut place = place.unwrap_or_else(|| panic!("{name} has no place")).rsplit(':');
        let mut number = || place.next().and_then(|number| number.parse().ok()).expect("a place ends with two numbers");
        let (column, line): (usize, usize) = (number(), number());
        let source = fs::read_to_string(source).expect("it was just listed");
        let token = source.lines().nth(line - 1).and_then(|text| text.get(column - 1..)).unwrap_or_default().to_owned();
        Self { name, text, line, token }
    }

    /// What the rule has against it.
    fn flaw(&self) -> Option<&'static str> {
        let errors = self.text.lines().filter(|line| line.starts_with("error")).count();
        if errors != 1 || self.text.lines().any(|line| line.starts_with("warning")) {
            return Some("more than one error");
        }
        if self.token.starts_with("#[idempotent") && !MISTAKES_OF_THE_ATTRIBUTE.contains(&&*self.name) {
            return Some("its place is the attribute");
        }
        if !self.text.lines().any(says_what_to_do) {
            return Some("nothing says what to write instead");
        }
        None
    }
}

/// Whether a line of the message helps, and does not just report what the compiler looked at.
fn says_what_to_do(line: &str) -> bool {
    const REPORTS: [&str; 12] = [
        // It would change the handler's name.
        "change the parameter type to match the trait",
        "type in trait",
        "the trait `",
        "within `",
        "required ",
        "this error originates",
        "function defined here",
        "the following other types",
        "the following trait bounds",
        "expected ",
        "see issue",
        "1 redundant requirement",
    ];
    let line = line.trim_start().trim_start_matches("= ");
    let told = line.strip_prefix("help: ").or_else(|| line.strip_prefix("note: "));
    told.is_some_and(|told| !REPORTS.iter().any(|report| told.starts_with(report))) || line.contains("- help: ")
}

/// What the page shows of the compiler's words is what the compiler says, of a file whose name stands for the page's.
#[test]
fn the_page_on_the_state_shows_what_the_compiler_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/state.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let pinned: Vec<_> =
        sources(Path::new("ui/fail")).iter().map(|source| (Message::of(source), source.clone())).collect();
    let mut checked = 0;
    for shown in page.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let said = pinned.iter().any(|(message, source)| {
            message.text.starts_with(&shown.replace("src/main.rs", &source.display().to_string()))
        });
        assert!(said, "no message in ui/fail begins like this:\n{shown}");
        checked += 1;
    }
    // The cases that the page tells apart.
    assert_eq!(checked, 7);
}

#[test]
fn legal_shapes_compile_without_a_warning() {
    for edition in ["2021", "2024"] {
        lint(
            &format!("pass-{edition}"),
            edition,
            &dependency("cratestack-runtime", "[\"axum\", \"macros\"]"),
            "ui/pass",
        );
    }
}

#[test]
fn the_runtime_may_have_another_name() {
    lint("renamed", "2021", &dependency("idem", "[\"axum\", \"macros\"]"), "ui/renamed");
}

#[test]
fn transactions_are_legal_in_every_shape() {
    let runtime = dependency("cratestack-runtime", "[\"axum\", \"macros\", \"postgres\", \"sqlite\"]");
    let sqlx = "sqlx = { version = \"0.9\", default-features = false, features = [\"postgres\", \"runtime-tokio\", \"sqlite-bundled\"] }";
    lint("transaction", "2024", &format!("{runtime}\n{sqlx}"), "ui/transaction");
}

/// The runtime as a manifest has it.
fn dependency(name: &str, features: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cratestack-runtime");
    let path = path.display();
    format!(
        "{name} = {{ package = 'cratestack-runtime', path = '{path}', default-features = false, features = {features} }}"
    )
}

/// Checks every file of `directory` as a program of its own, in a package of its own that depends on `runtime` besides.
fn lint(package: &str, edition: &str, runtime: &str, directory: &str) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = tests.parent().expect("the tests are a member of the workspace");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let mut manifest = format!(
        r#"
[package]
name = "ui-{package}"
edition = "{edition}"

[workspace]

[dependencies]
axum = {{ version = "0.8", default-features = false, features = ["form", "http1", "json", "macros", "matched-path", "original-uri", "query", "tokio"] }}
{runtime}
serde = {{ version = "1", features = ["derive"] }}
tracing = {{ version = "0.1", default-features = false, features = ["attributes", "std"] }}
"#
    );
    let sources = sources(&tests.join(directory));
    for source in &sources {
        let name = source.file_stem().expect("a file has a name").display();
        let table = if source.ends_with("library.rs") { "[lib]" } else { "[[bin]]" };
        write!(manifest, "\n{table}\nname = '{name}'\npath = '{}'\n", source.display())
            .expect("a string takes everything");
    }
    fs::create_dir_all(&home).expect("cargo made the directory above");
    fs::write(home.join("Cargo.toml"), manifest).expect("the manifest can be written");
    fs::copy(root.join("Cargo.lock"), home.join("Cargo.lock")).expect("the workspace has a lock file");
    let output = Command::new(env!("CARGO"))
        .args(["clippy", "--offline", "--quiet", "--keep-going", "--target-dir"])
        .arg(home.join("../.."))
        // The shapes are what is tested, and few of them have anything to wait for.
        .args(["--", "-W", "clippy::pedantic", "-A", "clippy::unused_async", "-D", "warnings"])
        .current_dir(&home)
        .output()
        .expect("cargo runs where it ran to build this test");
    assert!(
        output.status.success(),
        "not all of {directory} is clean (without clippy at all: `rustup component add clippy`):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut sources: Vec<_> = entries
        .map(|entry| entry.expect("a directory can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    sources.sort();
    assert!(!sources.is_empty(), "{} is empty", directory.display());
    sources
}
