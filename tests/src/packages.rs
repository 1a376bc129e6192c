//! Programs that the tests need and a machine may lack: getting them, or saying how to.

use std::{path::Path, process::Command};

/// Only where nothing is asked of anybody: as root, on a distribution whose package is known by this name.
pub(crate) fn install_on_debian(package: &str) {
    if !(crate::keeper::is_root() && Path::new("/etc/debian_version").exists()) {
        return;
    }
    eprintln!("installing the package `{package}` for the tests");
    for arguments in [&["update"][..], &["install", "-y", "--no-install-recommends", package]] {
        let ran = Command::new("apt-get")
            .args(["-o", "DPkg::Lock::Timeout=120"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .output();
        match ran {
            Ok(output) if output.status.success() => {}
            Ok(output) => eprintln!("apt-get {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)),
            Err(error) => eprintln!("apt-get: {error}"),
        }
    }
}

/// The command to run on this machine.
pub(crate) fn advice(
    by_manager: [(&str, &'static str); 5],
    on_macos: &'static str,
    otherwise: &'static str,
) -> &'static str {
    if cfg!(target_os = "macos") {
        return on_macos;
    }
    let known = by_manager.into_iter().find(|(manager, _)| Path::new(manager).exists());
    known.map_or(otherwise, |(_, command)| command)
}
