//! A hot standby that lags behind for ever.

use std::{
    env,
    os::unix::{fs::chown, process::CommandExt as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::{PostgresServer, binaries, server::free_port};
use crate::keeper::{is_root, normal_user};

/// Ends the server when its input does, which happens however the process at the other end of it dies.
const KEEPER: &str = r#"
trap '' HUP INT TERM PIPE
umask 077
binaries=$1 directory=$2 primary=$3 port=$4
"$binaries/pg_basebackup" -h 127.0.0.1 -p "$primary" -U postgres -D "$directory/data" -c fast -X fetch --no-sync \
    >"$directory/log" 2>&1 </dev/null || exit 1
: >"$directory/data/standby.signal"
"$binaries/postgres" -D "$directory/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c max_connections=300 -c lc_messages=C -c fsync=off >>"$directory/log" 2>&1 </dev/null &
read -r end
{ kill -QUIT $!; wait $!; } 2>/dev/null
rm -rf "$directory/data"
"#;

/// A copy of a server in recovery, which answers questions. It follows nobody, and knows what was committed when it was
/// taken.
#[derive(Debug)]
pub struct Standby {
    port: u16,
    keeper: Child,
    _directory: TempDir,
}

impl Standby {
    /// Of a server with the default `max_connections`.
    ///
    /// # Panics
    /// When it cannot be had; the message ends with its log.
    pub async fn of(primary: &PostgresServer) -> Self {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let port = free_port();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(binaries::find()).arg(directory.path());
        command.args([primary.port(), port].map(|port| port.to_string()));
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        // Postgres refuses to run as root.
        if is_root() {
            let (uid, gid) = normal_user();
            chown(directory.path(), Some(uid), Some(gid)).expect("root may give its directory away");
            command.uid(uid).gid(gid);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keeper = command.current_dir("/").process_group(0).spawn().expect("`sh` runs");
        for _ in 0..600 {
            let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
            if PgConnection::connect(&url).await.is_ok() {
                return Self { port, keeper, _directory: directory };
            }
            if keeper.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read(directory.path().join("log")).unwrap_or_default();
        drop(keeper.stdin.take());
        panic!("no standby:\n{}", String::from_utf8_lossy(&log));
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
