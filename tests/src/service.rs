//! An example as a process of its own: it can be killed, abort, and come back.

use std::{
    collections::HashMap,
    env,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::Client;

/// Far more than a start takes, also on a machine that is busy.
const STARTS_WITHIN: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
enum Program {
    Example(String),
    Executable(PathBuf),
}

/// Which program it is, and its environment. `payments` without a database keeps a file in its own directory.
#[derive(Debug, Clone)]
pub struct Settings {
    program: Program,
    variables: Vec<(String, String)>,
}

impl Settings {
    /// `payments` with its defaults, on a port that is free.
    pub fn new() -> Self {
        Self::of("payments")
    }

    /// Another example, on a port that is free.
    pub fn of(example: &str) -> Self {
        Self::running(Program::Example(example.to_owned()))
    }

    /// A program that is no example of this workspace, on a port that is free.
    pub fn of_executable(path: PathBuf) -> Self {
        Self::running(Program::Executable(path))
    }

    fn running(program: Program) -> Self {
        Self { program, variables: Vec::new() }.set("PORT", "0")
    }

    /// Where the ledger and the records are.
    #[must_use]
    pub fn database(self, url: &str) -> Self {
        self.set("DATABASE_URL", url)
    }

    /// Where the keys of handlers without a transaction are: one address, or nodes of a Cluster with commas between.
    #[must_use]
    pub fn redis(self, urls: &str) -> Self {
        self.set("REDIS_URL", urls)
    }

    /// How long a reservation lives without its holder, such as `2s`.
    #[must_use]
    pub fn lease(self, lease: &str) -> Self {
        self.set("LEASE", lease)
    }

    /// Any other variable; the last value of one counts.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

/// A running service, in a temporary directory of its own. Killed when it is dropped, or its test process is.
#[derive(Debug)]
pub struct Service {
    settings: Settings,
    directory: TempDir,
    running: Running,
    address: SocketAddr,
}

impl Service {
    /// Starts it and waits until it accepts requests.
    ///
    /// # Panics
    /// When it does not come up; the message ends with what it printed.
    pub async fn start(settings: Settings) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut running = Running::spawn(&settings, directory.path()).await;
        let address = running.listens().await;
        Self { settings, directory, running, address }
    }

    /// Starts one that is expected to end by itself, and waits for that.
    ///
    /// # Panics
    /// When it is still there after a minute.
    pub async fn run_to_exit(settings: Settings) -> Exit {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let started = Instant::now();
        let mut running = Running::spawn(&settings, directory.path()).await;
        let status = running.wait_exit().await;
        Exit { status, took: started.elapsed(), stdout: running.stdout.text(), stderr: running.stderr.text() }
    }

    /// Ends it with SIGKILL.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it is still there after a minute.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        self.running.wait_exit().await
    }

    /// Starts it again, after an end or killing it, with the same settings and directory; the port is another one.
    ///
    /// # Panics
    /// When it does not come up; the message ends with what it printed.
    pub async fn restart(&mut self) {
        self.running.kill();
        self.running = Running::spawn(&self.settings, self.directory.path()).await;
        self.address = self.running.listens().await;
    }

    /// The same, with another environment.
    ///
    /// # Panics
    /// When it does not come up; the message ends with what it printed.
    pub async fn restart_with(&mut self, settings: Settings) {
        self.settings = settings;
        self.restart().await;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of it; a restart needs another one.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// The directory that it runs in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.process.id()
    }

    /// The most memory that it ever held since its last start, in bytes; `None` where the system does not tell.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok().map(|kilobytes: u64| kilobytes * 1024)
    }

    /// What it printed since its last start.
    pub fn stdout(&self) -> String {
        self.running.stdout.text()
    }

    /// What it logged since its last start.
    pub fn stderr(&self) -> String {
        self.running.stderr.text()
    }
}

/// A running program that listens nowhere, in a temporary directory of its own. Killed when it is dropped, or its test
/// process is.
#[derive(Debug)]
pub struct Worker {
    settings: Settings,
    ready: &'static str,
    directory: TempDir,
    running: Running,
}

impl Worker {
    /// Starts it and waits until it prints a line that begins so.
    ///
    /// # Panics
    /// When it does not come up; the message ends with what it printed.
    pub async fn start(settings: Settings, ready: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut running = Running::spawn(&settings, directory.path()).await;
        running.prints(|line| line.starts_with(ready).then_some(())).await;
        Self { settings, ready, directory, running }
    }

    /// Ends it with SIGKILL, if it is there, and starts it again with the same settings and directory.
    ///
    /// # Panics
    /// When it does not come up; the message ends with what it printed.
    pub async fn restart(&mut self) {
        self.running.kill();
        self.running = Running::spawn(&self.settings, self.directory.path()).await;
        let ready = self.ready;
        self.running.prints(|line| line.starts_with(ready).then_some(())).await;
    }

    /// Ends it with SIGKILL.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// What it printed since its last start.
    pub fn stdout(&self) -> String {
        self.running.stdout.text()
    }

    /// What it logged since its last start.
    pub fn stderr(&self) -> String {
        self.running.stderr.text()
    }
}

/// How a service ended.
#[derive(Debug)]
pub struct Exit {
    /// The status of the process.
    pub status: ExitStatus,
    /// How long it ran.
    pub took: Duration,
    /// What it printed.
    pub stdout: String,
    /// What it logged.
    pub stderr: String,
}

#[derive(Debug)]
struct Running {
    process: Child,
    watcher: Watcher,
    stdout: Output,
    stderr: Output,
}

impl Running {
    async fn spawn(settings: &Settings, directory: &Path) -> Self {
        let program = match &settings.program {
            Program::Example(name) => example(name).await,
            Program::Executable(path) => path,
        };
        let mut command = Command::new(program);
        for inherited in ["DATABASE_URL", "LEASE", "PORT", "REDIS_URL", "RUST_LOG"] {
            command.env_remove(inherited);
        }
        // A test wants to see the process end, and has its id.
        command.env("SUPERVISE", "0");
        command.envs(settings.variables.iter().map(|(name, value)| (name, value))).current_dir(directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let watcher = Watcher::over(process.id(), directory);
        let stdout = Output::of(process.stdout.take().expect("the output is piped"));
        let stderr = Output::of(process.stderr.take().expect("the output is piped"));
        Self { process, watcher, stdout, stderr }
    }

    async fn listens(&mut self) -> SocketAddr {
        self.prints(|line| line.strip_prefix("listening on http://")?.parse().ok()).await
    }

    /// What a line of its output tells.
    async fn prints<T>(&mut self, tells: impl Fn(&str) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(told) = self.stdout.text().lines().find_map(&tells) {
                return told;
            }
            let status = self.process.try_wait().expect("a child's status is known");
            assert!(
                status.is_none() && started.elapsed() < STARTS_WITHIN,
                "the program does not come up ({status:?}):\n{}{}",
                self.stdout.text(),
                self.stderr.text()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn wait_exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("a child's status is known") {
                self.watcher.dismiss();
                self.stdout.wait_end().await;
                self.stderr.wait_end().await;
                return status;
            }
            assert!(started.elapsed() < STARTS_WITHIN, "the service does not end:\n{}", self.stderr.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn kill(&mut self) {
        // First: it must never kill a process that got the same id later.
        self.watcher.dismiss();
        self.process.kill().expect("a child can be killed");
        self.process.wait().expect("a killed child ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills the service and removes its directory when this process dies without having done so.
#[derive(Debug)]
struct Watcher {
    shell: Child,
    /// Its end is what the shell waits for.
    lifeline: Option<ChildStdin>,
}

impl Watcher {
    fn over(process: u32, directory: &Path) -> Self {
        let script = "trap '' HUP INT TERM; cat >/dev/null; kill -9 \"$1\"; rm -rf \"$2\"";
        let mut shell = Command::new("sh")
            .args(["-c", script, "watcher", &process.to_string()])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("`sh` runs");
        Self { lifeline: shell.stdin.take(), shell }
    }

    fn dismiss(&mut self) {
        if self.lifeline.is_some() {
            let _ = self.shell.kill();
            let _ = self.shell.wait();
            self.lifeline = None;
        }
    }
}

/// What a process wrote so far: read all the time, as a full pipe would stop it.
#[derive(Debug)]
struct Output {
    text: Arc<Mutex<String>>,
    reader: thread::JoinHandle<()>,
}

impl Output {
    fn of(source: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                written.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn wait_end(&self) {
        while !self.reader.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The example's executable; all of them are built on the first call.
async fn example(name: &str) -> &'static Path {
    static PROGRAMS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let built = tokio::task::spawn_blocking(|| PROGRAMS.get_or_init(build)).await;
    let programs = built.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
    programs.get(name).unwrap_or_else(|| panic!("there is no example {name:?}"))
}

fn build() -> HashMap<String, PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    // `--workspace` for the same features as `cargo test --workspace` has, which then has built everything already.
    cargo.args(["build", "--workspace", "--examples", "--message-format", "json"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::piped())
        .output()
        .expect("cargo runs where it ran to build this test");
    assert!(output.status.success(), "the examples do not build:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(message["executable"].as_str()?)))
        })
        .collect()
}
