//! A package outside this workspace: edition 2021, the runtime renamed, every lint on.

use std::path::Path;
use std::process::Command;

#[test]
fn a_renamed_runtime_in_edition_2021_runs_and_is_clean() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("external-consumer");
    let target = package.join("../../target/neighbours");
    let cargo = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(&package)
            .env("CARGO_TARGET_DIR", &target)
            .output()
            .expect("cargo can be started");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "cargo {arguments:?}:\n{stdout}\n{stderr}");
        stdout.into_owned()
    };
    cargo(&["clippy", "--quiet", "--", "-D", "warnings"]);
    assert_eq!(cargo(&["run", "--quiet"]), "201 Created replayed=false\n201 Created replayed=true\n");
}
