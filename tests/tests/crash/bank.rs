//! The service under test, as a process that can be killed.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use cratestack_tests::Client;

#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// The connections that it may have.
    pub pool: u64,
    /// With group commit and a cache of outcomes.
    pub tuned: bool,
}

pub struct Bank {
    process: Child,
    address: SocketAddr,
}

impl Bank {
    /// Returns once it listens. `nth` is its place in the fleet; all but the first are still in reservation mode where a
    /// route has either.
    pub fn start(database: &str, setup: Setup, nth: usize) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_bank"))
            .env("DATABASE_URL", database)
            .env("POOL", setup.pool.to_string())
            .env("TUNED", setup.tuned.to_string())
            .env("BESIDE", if nth == 0 { "transaction" } else { "reservation" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What it warns of is what the harness does to it.
            .stderr(if std::env::var_os("SHOW").is_some() { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|_| panic!("the bank does not open"));
        Self { process, address }
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// With SIGKILL; returns once it is gone.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.kill();
    }
}
