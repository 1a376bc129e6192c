//! What a reader pastes into a shell, with the real `curl`.

use std::{path::Path, process::Command};

use crate::packages::{advice, install_on_debian};

/// Runs a script as a reader would paste it, in a folder and with variables set, and returns all that it printed.
///
/// # Panics
/// When a command of it fails, with what it printed; or when there is no `curl`, with the command that installs it.
pub fn paste(script: &str, folder: &Path, variables: &[(&str, &Path)]) -> String {
    require_curl();
    let output = Command::new("bash")
        .args(["-e", "-u", "-o", "pipefail", "-c", script])
        .current_dir(folder)
        .envs(variables.iter().copied())
        .output()
        .unwrap_or_else(|error| panic!("bash: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout);
    let status = output.status;
    assert!(status.success(), "{script}\n{status}\n{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed.into_owned()
}

fn require_curl() {
    let is_there = || Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there() {
        install_on_debian("curl");
        let command = advice(
            [
                ("/usr/bin/apt-get", "apt-get install -y curl"),
                ("/usr/bin/dnf", "dnf install -y curl"),
                ("/usr/bin/pacman", "pacman -S curl"),
                ("/sbin/apk", "apk add curl"),
                ("/usr/bin/zypper", "zypper install -y curl"),
            ],
            "brew install curl",
            "install curl",
        );
        assert!(is_there(), "this test sends what a page tells its reader to send, and there is no curl: {command}");
    }
}
