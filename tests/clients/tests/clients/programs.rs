//! The clients as programs, and what a caller of each is told.

use std::fmt;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use crate::toolbox::{self, CLIENTS};

/// No client tries for as long; one that does honours what it was told, or hangs.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Curl,
    Requests,
    Httpx,
    Fetch,
    Axios,
    Got,
    Reqwest,
    StripePython,
    StripeNode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No retries asked for.
    Bare,
    /// Retries switched on, and nothing else said.
    Plain,
    /// As docs/clients.md has it.
    Safe,
}

/// What the caller got.
#[derive(Debug, Deserialize)]
pub struct Told {
    pub status: Option<u16>,
    pub body: Option<String>,
    pub error: Option<String>,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bare => "bare",
            Self::Plain => "plain",
            Self::Safe => "safe",
        })
    }
}

/// One intent: where it goes, under which key.
#[derive(Debug, Clone)]
pub struct Intent {
    pub url: String,
    pub key: &'static str,
    pub payment: &'static str,
    /// The client's own timeout, in seconds.
    pub timeout: u32,
}

impl Client {
    pub fn is_stripe(self) -> bool {
        matches!(self, Self::StripePython | Self::StripeNode)
    }

    /// Runs it to its end.
    pub async fn pay(self, mode: Mode, intent: &Intent) -> Told {
        let paying = async {
            match self {
                Self::Curl => curl(mode, intent).await,
                Self::Requests => python("requests", mode, intent).await,
                Self::Httpx => python("httpx", mode, intent).await,
                Self::StripePython => python("stripe", mode, intent).await,
                Self::Fetch => node("fetch", mode, intent).await,
                Self::Axios => node("axios", mode, intent).await,
                Self::Got => node("got", mode, intent).await,
                Self::StripeNode => node("stripe", mode, intent).await,
                Self::Reqwest => crate::rust::pay(mode, intent).await,
            }
        };
        timeout(PATIENCE, paying).await.unwrap_or_else(|_| panic!("{self:?} does not end"))
    }
}

async fn curl(mode: Mode, intent: &Intent) -> Told {
    let curl = toolbox::curl();
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::write(folder.path().join("payment.json"), intent.payment).expect("a file can be written");
    let mut command = if mode == Mode::Safe {
        let mut command = Command::new("sh");
        command.args(["-c", &format!(". {CLIENTS}/curl/pay.sh; pay \"$1\" \"$2\""), "sh", &intent.url, intent.key]);
        command.env("TIMEOUT", intent.timeout.to_string());
        command
    } else {
        let mut command = Command::new(curl);
        command.args(["-sS", "-o", "answer.json", "-w", "%{http_code}", "-d", "@payment.json"]);
        command.args(["-m", &intent.timeout.to_string(), "-H", "Content-Type: application/json"]);
        command.arg("-H").arg(format!("Idempotency-Key: {}", intent.key)).arg(&intent.url);
        if mode == Mode::Plain {
            command.args(["--retry", "2"]);
        }
        command
    };
    let output = run(command.current_dir(folder.path())).await;
    let status = String::from_utf8_lossy(&output.stdout).parse().ok().filter(|status| *status != 0);
    let error = (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned());
    Told { status, body: std::fs::read_to_string(folder.path().join("answer.json")).ok(), error }
}

async fn python(client: &str, mode: Mode, intent: &Intent) -> Told {
    let mut command = Command::new(setup(toolbox::python).await);
    command.arg(format!("{CLIENTS}/python/run.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    program(command, client, mode, intent).await
}

async fn node(client: &str, mode: Mode, intent: &Intent) -> Told {
    let mut command = Command::new("node");
    command.arg(setup(toolbox::node).await.join("run.mjs"));
    program(command, client, mode, intent).await
}

/// An installation takes a while, which other tests use.
pub async fn setup<T: Send + 'static>(install: impl FnOnce() -> T + Send + 'static) -> T {
    let installed = tokio::task::spawn_blocking(install).await;
    installed.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
}

async fn program(mut command: Command, client: &str, mode: Mode, intent: &Intent) -> Told {
    command.args([client, &mode.to_string(), &intent.url, intent.key, intent.payment, &intent.timeout.to_string()]);
    let output = run(&mut command).await;
    let line = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{client}, {mode}: {line}\n{said}");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{client}, {mode}: {error} in {line}\n{said}"))
}

pub async fn run(command: &mut Command) -> Output {
    // A proxy of the machine has nothing to do with a service of the test.
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let output = timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} does not end"));
    output.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
