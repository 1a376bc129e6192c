//! A machine that loses power: what a server wrote and did not sync is gone.
//!
//! A killed process proves nothing about the disk, since the system still writes what it was given. So the server runs
//! with a library that notes, after each `fsync` and `fdatasync`, how long the file was before the call
//! (`synced.c`). When the power goes, every file is cut to what was noted of it, and one that was never synced to
//! nothing.
//!
//! ```text
//! client            server                  file (written)   noted
//! SET a ──────────▶ write                   a
//!       ◀────────── OK        (everysec)
//!                   fdatasync ends          a                a
//! SET b ──────────▶ write                   a b
//!       ◀────────── OK                      a b              a
//!                        power goes         a                a        b was acknowledged, and is lost
//! ```
//!
//! That is the most that may be lost: a system may have written more on its own. What a directory holds (a file that is
//! new, renamed or removed) is taken to be kept in the order that it came, as journals of file systems do. `nodes.conf`,
//! by which a node of a Cluster knows the others, is let be: it has no data.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt as _, path::Path, process::Command, sync::OnceLock};

use super::{RedisServer, server::write_for_the_server};

const SOURCE: &str = include_str!("synced.c");

impl RedisServer {
    /// Ends it as a loss of power would: killed, and its files cut to what was synced. Needs
    /// [`RedisOptions::loses_power`](super::RedisOptions::loses_power). [`start`](Self::start) starts it again.
    ///
    /// # Panics
    /// When it was not started for that.
    pub async fn lose_power(&self) {
        self.with_keeper(|keeper| {
            assert_eq!(keeper.ask("kill"), "stopped");
            let notes = fs::read_to_string(keeper.directory.join("synced"))
                .expect("the server was started with `RedisOptions::loses_power`");
            cut(&keeper.directory.join("data"), &synced(&notes));
        })
        .await;
    }
}

/// Puts the library where the keeper looks for it.
pub(super) fn prepare(directory: &Path) {
    write_for_the_server(&directory.join("synced.so"), library());
}

/// Compiled once.
fn library() -> &'static [u8] {
    static LIBRARY: OnceLock<Vec<u8>> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let (source, library) = (directory.path().join("synced.c"), directory.path().join("synced.so"));
        fs::write(&source, SOURCE).expect("the directory takes a file");
        let ran = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(&source)
            .output();
        let ran = ran.expect("`cc`, which Rust links with on Linux, runs");
        assert!(ran.status.success(), "cc: {}", String::from_utf8_lossy(&ran.stderr));
        fs::read(&library).expect("cc has written the library")
    })
}

/// How many bytes of each inode are on the disk.
fn synced(notes: &str) -> HashMap<u64, u64> {
    let mut sizes = HashMap::new();
    for line in notes.lines() {
        let mut words = line.split(' ');
        let what = words.next();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        match (what, number(), number()) {
            // A file only grows between two notes, and calls of two threads may end in another order than they began.
            (Some("s"), Some(inode), Some(size)) => {
                let known = sizes.entry(inode).or_insert(0);
                *known = size.max(*known);
            }
            (Some("t"), Some(inode), Some(size)) => {
                sizes.entry(inode).and_modify(|known| *known = size.min(*known));
            }
            (Some("u"), Some(inode), None) => drop(sizes.remove(&inode)),
            _ => panic!("no note of synced.c: {line}"),
        }
    }
    sizes
}

fn cut(directory: &Path, synced: &HashMap<u64, u64>) {
    for entry in fs::read_dir(directory).expect("the server's files can be listed") {
        let path = entry.expect("an entry can be read").path();
        let metadata = fs::symlink_metadata(&path).expect("nobody else removes the server's files");
        if metadata.is_dir() {
            cut(&path, synced);
        } else if path.file_name().is_none_or(|name| name != "nodes.conf") {
            let kept = synced.get(&metadata.ino()).copied().unwrap_or(0).min(metadata.len());
            let file = fs::OpenOptions::new().write(true).open(&path);
            file.and_then(|file| file.set_len(kept)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_of_the_file_that_has_the_number() {
        let notes = "s 1 10\ns 1 30\ns 1 20\ns 2 50\nt 2 40\nt 3 5\ns 4 9\nu 4\nu 5\ns 5 1\n";
        assert_eq!(synced(notes), HashMap::from([(1, 30), (2, 40), (5, 1)]));
    }
}
