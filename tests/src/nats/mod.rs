//! A real NATS server with `JetStream`, for the tests of what consumes from a queue.
//!
//! `TEST_NATS_URL` names one to use instead of a private one. The tests that kill the server always have a private one.

use std::env;
use std::path::{Path, PathBuf};

use crate::keeper::Keeper;
use crate::packages;

const KEEPER: &str = include_str!("keeper.sh");

/// Where a test finds NATS. A private server ends, and its directory goes, when the value is dropped or the process
/// ends in any way.
#[derive(Debug)]
pub struct Nats {
    url: String,
    _private: Option<NatsServer>,
}

impl Nats {
    /// The server of `TEST_NATS_URL`, or a private one.
    ///
    /// # Panics
    /// When there is no NATS to be had; the message names the command that brings one.
    pub async fn connect() -> Self {
        match env::var("TEST_NATS_URL") {
            Ok(url) if !url.is_empty() => Self { url, _private: None },
            _ => {
                let server = NatsServer::launch().await;
                Self { url: server.url(), _private: Some(server) }
            }
        }
    }

    /// Where it is, as `nats://…`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A NATS server that one test owns, on 127.0.0.1 with a port of its own.
#[derive(Debug)]
pub struct NatsServer {
    port: u16,
    keeper: Keeper,
}

impl NatsServer {
    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started; the message ends with the server's log.
    pub async fn launch() -> Self {
        blocking(|| {
            let mut keeper = Keeper::spawn(KEEPER, &find(), &[]);
            // Any port that is free.
            let port = start(&mut keeper, "-1");
            Self { port, keeper }
        })
        .await
    }

    /// Where it is, the same for its whole life.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it with SIGKILL, and starts it again with what it had written.
    ///
    /// # Panics
    /// When it does not come back; the message ends with the server's log.
    pub async fn crash_and_restart(mut self) -> Self {
        blocking(move || {
            assert_eq!(self.keeper.ask("kill"), "stopped");
            let port = start(&mut self.keeper, &self.port.to_string());
            assert_eq!(port, self.port, "it comes back where it was");
            self
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
}

/// Starts the server, and says on which port it listens.
fn start(keeper: &mut Keeper, port: &str) -> u16 {
    let started = keeper.ask(&format!("start {port}"));
    started.parse().unwrap_or_else(|_| panic!("the private NATS server did not start:\n{}", keeper.log_tail()))
}

/// The server's program.
fn find() -> PathBuf {
    let install = || {
        packages::install_on_debian("nats-server");
        installed()
    };
    installed().or_else(install).unwrap_or_else(|| {
        panic!(
            "the tests need the program `nats-server` and found none in PATH nor where distributions put it.\n\
             Run: {}\nor name a server with JetStream: TEST_NATS_URL=nats://host:port",
            advice()
        )
    })
}

fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // A user's PATH often lacks the second.
    let known = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(known)
        .map(|directory| directory.join("nats-server"))
        .find(|program| Path::is_file(program))
}

fn advice() -> &'static str {
    packages::advice(
        [
            ("/usr/bin/apt-get", "sudo apt-get update && sudo apt-get install -y nats-server"),
            ("/usr/bin/dnf", "go install github.com/nats-io/nats-server/v2@latest, and add ~/go/bin to PATH"),
            ("/usr/bin/zypper", "sudo zypper install -y nats-server"),
            ("/usr/bin/pacman", "sudo pacman -S --noconfirm nats-server"),
            ("/sbin/apk", "sudo apk add nats-server"),
        ],
        "brew install nats-server",
        "your package manager, for nats-server (https://docs.nats.io/running-a-nats-service/introduction/installation)",
    )
}
