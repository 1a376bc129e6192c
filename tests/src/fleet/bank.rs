//! The service under test, as a process that can be killed.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::Client;

/// How a [`Bank`] is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    variables: Vec<(&'static str, String)>,
}

impl Setup {
    /// With that many connections; tuned, with group commit and a cache of outcomes.
    pub fn new(pool: u64, tuned: bool) -> Self {
        Self { variables: vec![("POOL", pool.to_string()), ("TUNED", tuned.to_string())] }
    }

    /// The lease of the routes below `/leased` and `/steps`, in whole milliseconds.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        self.set("LEASE_MS", lease.as_millis().to_string())
    }

    /// How long the store's answer to a request is awaited, in whole milliseconds.
    #[must_use]
    pub fn store_timeout(self, timeout: Duration) -> Self {
        self.set("STORE_TIMEOUT_MS", timeout.as_millis().to_string())
    }

    /// How long it waits for a connection, in whole milliseconds.
    #[must_use]
    pub fn acquire_timeout(self, timeout: Duration) -> Self {
        self.set("ACQUIRE_MS", timeout.as_millis().to_string())
    }

    /// Where it reports each run of a handler below `/leased` and `/steps`.
    #[must_use]
    pub fn ledger(self, file: &Path) -> Self {
        self.set("LEDGER", file.to_string_lossy().into_owned())
    }

    /// Where the routes below `/steps` charge; without one, there are none.
    #[must_use]
    pub fn provider(self, address: SocketAddr) -> Self {
        self.set("PROVIDER", address.to_string())
    }

    /// The Cluster that has the keys of `/reservation` and of `/leased/charges`, and how many replicas acknowledge what
    /// is written there.
    #[must_use]
    pub fn cluster(self, urls: &[String], acknowledged_by: u32) -> Self {
        self.set("REDIS_URLS", urls.join(",")).set("ACKNOWLEDGED_BY", acknowledged_by.to_string())
    }

    fn set(mut self, name: &'static str, value: String) -> Self {
        self.variables.push((name, value));
        self
    }
}

/// A running bank; it ends when this is dropped, or the harness does.
#[derive(Debug)]
pub struct Bank {
    process: Child,
    address: SocketAddr,
}

impl Bank {
    /// Returns once it listens. `nth` is its place in the fleet; all but the first are still in reservation mode where
    /// a route has either.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn start(program: impl AsRef<Path>, database: &str, setup: &Setup, nth: usize) -> Self {
        let program = program.as_ref();
        let mut process = Command::new(program)
            .env("DATABASE_URL", database)
            .env("BESIDE", if nth == 0 { "transaction" } else { "reservation" })
            .envs(setup.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What it warns of is what the harness does to it.
            .stderr(if std::env::var_os("SHOW").is_some() { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut line = String::new();
        let read = process.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let address = line.trim().parse().unwrap_or_else(|_| panic!("the bank does not open: {read:?}"));
        Self { process, address }
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// With SIGKILL; returns once it is gone.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.process.kill().expect("a child can be killed");
        self.process.wait().expect("a killed child ends");
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.kill();
    }
}
