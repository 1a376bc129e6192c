//! Finding the server's programs, or getting them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::packages;

/// The directory that holds `initdb` and `postgres`.
///
/// # Panics
/// When there is none and none can be installed; the message names the command to run.
pub(super) fn find() -> PathBuf {
    installed().or_else(install).unwrap_or_else(|| {
        panic!(
            "the tests need the programs of a PostgreSQL server (`initdb` and `postgres`) and found none in PATH nor \
             where distributions put them.\nRun: {}\nor name a server whose role can create databases: \
             TEST_DATABASE_URL=postgres://user:password@host/database",
            advice()
        )
    })
}

fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).filter_map(|directory| {
        // A link in PATH often stands alone; its target has the whole family beside it.
        let postgres = fs::canonicalize(directory.join("postgres")).ok()?;
        postgres.parent().map(Path::to_owned)
    });
    let distributions = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
    ];
    let known = distributions.into_iter().flat_map(|(parent, prefix, bin)| newest_first(parent, prefix, bin));
    on_path.chain(known).find(|directory| directory.join("initdb").is_file() && directory.join("postgres").is_file())
}

fn newest_first(parent: &str, prefix: &str, bin: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
        .collect();
    // By number: as text, 9.6 would come before 15.
    found.sort_by_key(|path| std::cmp::Reverse(version(path)));
    found.into_iter().map(|path| path.join(bin)).collect()
}

fn version(path: &Path) -> Vec<u32> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

fn install() -> Option<PathBuf> {
    packages::install_on_debian("postgresql");
    installed()
}

fn advice() -> &'static str {
    packages::advice(
        [
            ("/usr/bin/apt-get", "sudo apt-get update && sudo apt-get install -y postgresql"),
            ("/usr/bin/dnf", "sudo dnf install -y postgresql-server"),
            ("/usr/bin/zypper", "sudo zypper install -y postgresql-server"),
            ("/usr/bin/pacman", "sudo pacman -S --noconfirm postgresql"),
            ("/sbin/apk", "sudo apk add postgresql"),
        ],
        "brew install postgresql",
        "your package manager, for the PostgreSQL server (https://www.postgresql.org/download/)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["9.6", "15", "16", "other"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let found = newest_first(directory.path().to_str().unwrap(), "", "bin");
        let names: Vec<_> = found.iter().map(|path| path.strip_prefix(directory.path()).unwrap()).collect();
        assert_eq!(names, ["16/bin", "15/bin", "9.6/bin", "other/bin"].map(Path::new));
    }
}
