//! What compiles, and what the compiler says of what does not: the reference of `#[idempotent]`.
//!
//! - `ui/fail/`: one mistake a file, its message beside it. `TRYBUILD=overwrite cargo test -p cratestack-tests --test ui`
//!   writes the messages anew.
//! - `ui/pass/`: what is legal stays so, in two editions, without a warning of the compiler or of clippy.
//! - `ui/renamed/`: the same in a crate that gives the runtime another name.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("ui/fail/*.rs");
}

#[test]
fn legal_shapes_compile_without_a_warning() {
    for edition in ["2021", "2024"] {
        lint(&format!("pass-{edition}"), edition, "cratestack-runtime", "ui/pass");
    }
}

#[test]
fn the_runtime_may_have_another_name() {
    lint("renamed", "2021", "idem", "ui/renamed");
}

/// Checks every file of `directory` as a program of its own, in a package of its own that has the runtime under `name`.
fn lint(package: &str, edition: &str, name: &str, directory: &str) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = tests.parent().expect("the tests are a member of the workspace");
    let runtime = root.join("cratestack-runtime");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let mut manifest = format!(
        r#"
        [package]
        name = "ui-{package}"
        edition = "{edition}"

        [workspace]

        [dependencies]
        axum = {{ version = "0.8", default-features = false, features = ["form", "http1", "json", "macros", "matched-path", "original-uri", "query", "tokio"] }}
        {name} = {{ package = "cratestack-runtime", path = {runtime:?}, default-features = false, features = ["macros"] }}
        serde = {{ version = "1", features = ["derive"] }}
        tracing = {{ version = "0.1", default-features = false, features = ["attributes", "std"] }}
        "#
    );
    let sources = sources(&tests.join(directory));
    for source in &sources {
        let name = source.file_stem().expect("a file has a name");
        write!(manifest, "\n[[bin]]\nname = {name:?}\npath = {source:?}\n").expect("a string takes everything");
    }
    fs::create_dir_all(&home).expect("cargo made the directory above");
    fs::write(home.join("Cargo.toml"), manifest).expect("the manifest can be written");
    fs::copy(root.join("Cargo.lock"), home.join("Cargo.lock")).expect("the workspace has a lock file");
    let output = Command::new(env!("CARGO"))
        .args(["clippy", "--offline", "--quiet", "--keep-going", "--bins", "--target-dir"])
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
