//! Finding the server's program, or getting it.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::packages;

const NAMES: [&str; 2] = ["valkey-server", "redis-server"];

/// What `valkey-server` and `redis-server` are links to on Debian and Ubuntu, in packages that start no service.
const TOOLS: [&str; 2] = ["valkey-check-rdb", "redis-check-rdb"];

/// The program of the server, by its whole path.
///
/// # Panics
/// When there is none and none can be installed; the message names the command to run.
pub(super) fn find() -> PathBuf {
    if let Some(named) = env::var_os("REDIS_SERVER").filter(|named| !named.is_empty()) {
        let path = env::var_os("PATH").unwrap_or_default();
        // A name alone is looked for in PATH; a path stays what it is.
        return std::iter::once(PathBuf::new())
            .chain(env::split_paths(&path))
            .map(|directory| directory.join(&named))
            .find(|program| program.is_file())
            // The server is started from another directory.
            .and_then(|program| std::path::absolute(program).ok())
            .unwrap_or_else(|| panic!("REDIS_SERVER names {}, and there is no such program", named.display()));
    }
    installed().or_else(install).unwrap_or_else(|| {
        panic!(
            "the tests need the program of a Valkey or Redis server (`valkey-server` or `redis-server`) and found \
             none in PATH nor where distributions put it.\nRun: {}\nor name a program, for all tests: \
             REDIS_SERVER=/path/to/redis-server; or a server, for those that only use one: \
             TEST_REDIS_URL=redis://user:password@host:port",
            advice()
        )
    })
}

fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // A user's PATH often lacks the second.
    let known = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from);
    let named = |directory: PathBuf| NAMES.map(|name| directory.join(name));
    let tools = TOOLS.map(|tool| Path::new("/usr/bin").join(tool));
    let programs = env::split_paths(&path).chain(known).flat_map(named);
    let on_debian = tools.into_iter().filter(|_| Path::new("/etc/debian_version").exists());
    programs.chain(on_debian).find(|program| program.is_file())
}

fn install() -> Option<PathBuf> {
    // Not the packages of the servers: those would also start one for the whole machine.
    ["valkey-tools", "redis-tools"].into_iter().find_map(|package| {
        packages::install_on_debian(package);
        installed()
    })
}

fn advice() -> &'static str {
    packages::advice(
        [
            ("/usr/bin/apt-get", "sudo apt-get update && sudo apt-get install -y redis-server"),
            ("/usr/bin/dnf", "sudo dnf install -y valkey"),
            ("/usr/bin/zypper", "sudo zypper install -y valkey"),
            ("/usr/bin/pacman", "sudo pacman -S --noconfirm valkey"),
            ("/sbin/apk", "sudo apk add valkey"),
        ],
        "brew install valkey",
        "your package manager, for Valkey (https://valkey.io/download/) or Redis (https://redis.io/docs/latest/get-started/)",
    )
}
