//! The till as a process of its own, which is started again when it crashes.

use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::AbortHandle;

use crate::client::Client;

pub struct Till {
    address: SocketAddr,
    keeping: AbortHandle,
    _directory: TempDir,
}

impl Drop for Till {
    fn drop(&mut self) {
        // The process is killed with the task that has it.
        self.keeping.abort();
    }
}

impl Till {
    /// With what `src/bin/till/main.rs` reads of the environment.
    pub async fn start(variables: &'static [(&'static str, &'static str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let database = format!("sqlite://{}", directory.path().join("till.db").display());
        let start = move |port: u16| async move {
            let mut child = Command::new(env!("CARGO_BIN_EXE_till"))
                .envs(variables.iter().copied())
                .env("DATABASE_URL", &database)
                .env("PORT", port.to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("the till runs");
            let stdout = child.stdout.take().expect("the output is piped");
            let line = BufReader::new(stdout).lines().next_line().await.expect("the output is text");
            let line = line.expect("it says where it listens");
            let address = line.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
            (child, address.expect("an address"))
        };
        let (child, address): (_, SocketAddr) = start.clone()(0).await;
        let keeping = tokio::spawn(async move {
            let mut child: Child = child;
            loop {
                // `wait` would close it, and the till ends with it.
                let _lifeline = child.stdin.take();
                child.wait().await.expect("a child's status is known");
                (child, _) = start.clone()(address.port()).await;
            }
        });
        Self { address, keeping: keeping.abort_handle(), _directory: directory }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// How often anything took effect.
    pub async fn effects(&self) -> usize {
        let answer = self.client().get("/effects").send().await.expect("the till answers");
        std::str::from_utf8(&answer.body).ok().and_then(|count| count.parse().ok()).expect("a number")
    }
}
