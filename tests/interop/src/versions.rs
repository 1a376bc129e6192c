//! The bank of this version, and that of the one before it, which no registry has: it is built from the repository's
//! history. So is a teller of that version's store.

use std::{
    env::consts::EXE_SUFFIX,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// What was in production before the working tree.
pub const PREVIOUS: &str = "537ed9e7f7232594585553d4e6233e7cbeff7832";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is above")
}

/// The bank of the working tree.
///
/// # Panics
/// When it does not build.
pub fn current_bank() -> PathBuf {
    let root = root();
    // With a test beside it, it has the features that `cargo test --workspace` builds it with.
    build(&root, &root.join("target"), &["--workspace", "--bin", "bank", "--test", "crash"], "bank")
}

/// The bank of [`PREVIOUS`]. Source and build are kept in `target/previous`.
///
/// # Panics
/// When the commit is not there, or does not build; the message says what to run.
pub fn previous_bank() -> PathBuf {
    previous("bank")
}

/// The teller of [`PREVIOUS`], which answers for its store; see `teller.rs`.
///
/// # Panics
/// As [`previous_bank`].
pub fn previous_teller() -> PathBuf {
    previous("teller")
}

/// Both are built at once, as most of the time goes into what they stand on.
fn previous(program: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = root().join("target/previous");
    let source = kept.join(PREVIOUS);
    if !source.is_dir() {
        extract(&source);
    }
    let (teller, text) = (source.join("tests/src/bin/teller.rs"), include_str!("teller.rs"));
    if fs::read_to_string(&teller).ok().as_deref() != Some(text) {
        fs::write(&teller, text).unwrap_or_else(|error| panic!("{}: {error}", teller.display()));
    }
    let programs = ["--locked", "--package", "cratestack-tests", "--bin", "bank", "--bin", "teller"];
    build(&source, &kept.join("target"), &programs, program)
}

/// Whole or not at all: another process may do the same at the same time.
fn extract(source: &Path) {
    let partial = source.with_extension(std::process::id().to_string());
    fs::create_dir_all(&partial).unwrap_or_else(|error| panic!("{}: {error}", partial.display()));
    let archive = partial.join("archive.tar");
    let git =
        Command::new("git").current_dir(root()).args(["archive", "--output"]).arg(&archive).arg(PREVIOUS).output();
    let git = git.expect("the previous version comes out of the history, and `git` does not run");
    assert!(
        git.status.success(),
        "the previous version comes out of the history, which does not have the commit {PREVIOUS}: {}\nRun: git fetch \
         --unshallow",
        String::from_utf8_lossy(&git.stderr).trim()
    );
    let tar = Command::new("tar").current_dir(&partial).args(["-xf", "archive.tar"]).status();
    assert!(tar.expect("`tar` runs").success(), "{} is not an archive", archive.display());
    fs::remove_file(archive).expect("the archive can be removed");
    if fs::rename(&partial, source).is_err() {
        assert!(source.is_dir(), "{} cannot be made", source.display());
        fs::remove_dir_all(partial).expect("what was extracted can be removed");
    }
}

fn build(workspace: &Path, target: &Path, what: &[&str], program: &str) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .current_dir(workspace)
        .arg("build")
        .args(what)
        .arg("--target-dir")
        .arg(target)
        .output()
        .expect("cargo runs where it ran to build this test");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{} does not build:\n{said}", workspace.display());
    target.join("debug").join(format!("{program}{EXE_SUFFIX}"))
}
