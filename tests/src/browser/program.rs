//! Finding Chromium, or getting it.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::packages;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const ON_MACOS: [&str; 2] = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/// The program to run.
///
/// # Panics
/// When there is none and none can be installed; the message names the command to run.
pub(super) fn find() -> PathBuf {
    if let Some(named) = env::var_os("CHROMIUM") {
        return named.into();
    }
    let install = || {
        packages::install_on_debian("chromium");
        installed()
    };
    installed().or_else(install).unwrap_or_else(|| {
        panic!(
            "the tests of the page need Chromium and found none of {NAMES:?} in PATH.\nRun: {}\nor name the program: \
             CHROMIUM=/path/to/chromium",
            advice()
        )
    })
}

fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = env::split_paths(&path).collect();
    let on_path = NAMES.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    on_path.chain(ON_MACOS.map(PathBuf::from)).find(|program| Path::is_file(program))
}

fn advice() -> &'static str {
    packages::advice(
        [
            ("/usr/bin/apt-get", "sudo apt-get update && sudo apt-get install -y chromium"),
            ("/usr/bin/dnf", "sudo dnf install -y chromium"),
            ("/usr/bin/zypper", "sudo zypper install -y chromium"),
            ("/usr/bin/pacman", "sudo pacman -S --noconfirm chromium"),
            ("/sbin/apk", "sudo apk add chromium"),
        ],
        "brew install --cask chromium",
        "your package manager, for Chromium (https://www.chromium.org/getting-involved/download-chromium/)",
    )
}
