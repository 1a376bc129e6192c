//! A private server: started in a directory of its own, gone without a trace when the process that started it is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisResult, TlsCertificates, aio::MultiplexedConnection};
use tokio::time::sleep;

use super::{RedisOptions, binaries, ports::free_port, power, tls};
use crate::keeper::Keeper;

const KEEPER: &str = include_str!("keeper.sh");

/// Long enough for a server on a busy machine, and an end for a question to one that is frozen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server of Redis or Valkey that one test owns, on 127.0.0.1 with a port of its own.
///
/// It ends, and its directory goes, when the value is dropped or the process ends in any way.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    options: RedisOptions,
    directory: PathBuf,
    keeper: Arc<Mutex<Keeper>>,
}

impl RedisServer {
    /// A server with the default options.
    ///
    /// # Panics
    /// When it cannot be started; the message ends with the server's log.
    pub async fn launch() -> Self {
        RedisOptions::new().start().await
    }

    pub(super) async fn start_with(options: RedisOptions) -> Self {
        blocking(move || Self::start_blocking(options, &[], RedisOptions::config)).await
    }

    /// A server with a configuration of another kind.
    pub(super) async fn start_as(
        options: RedisOptions,
        arguments: &'static [&str],
        config: impl Fn(&RedisOptions, u16) -> String + Send + 'static,
    ) -> Self {
        blocking(move || Self::start_blocking(options, arguments, config)).await
    }

    pub(super) fn start_blocking(
        options: RedisOptions,
        arguments: &[&str],
        config: impl Fn(&RedisOptions, u16) -> String,
    ) -> Self {
        let arguments: Vec<_> = ["redis.conf"].iter().chain(arguments).map(|&argument| argument.to_owned()).collect();
        let mut keeper = Keeper::spawn(KEEPER, &binaries::find(), &arguments);
        let directory = keeper.directory.clone();
        if options.loses_power {
            power::prepare(&directory);
        }
        if options.tls {
            tls::prepare(&directory);
        }
        // The port is free when it is picked and may be taken when the server binds it.
        for _ in 0..10 {
            let port = free_port();
            write_for_the_server(&directory.join("redis.conf"), config(&options, port).as_bytes());
            if keeper.ask("start") == "ready" {
                return Self { port, options, directory, keeper: Arc::new(Mutex::new(keeper)) };
            }
            if !port_was_taken(&keeper) {
                break;
            }
        }
        panic!("the private server of Redis did not start:\n{}", keeper.log_tail());
    }

    /// Where it is, as `redis://…`, or as `rediss://…` with TLS, the same for its whole life.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls { "rediss" } else { "redis" };
        let password = self.options.password_of().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("{scheme}://{password}127.0.0.1:{}", self.port)
    }

    /// What connects to it, as the user `default`, and trusts its certificate.
    ///
    /// # Panics
    /// When the password is none that a URL can have.
    pub fn client(&self) -> redis::Client {
        let client = match self.certificates() {
            Some(certificates) => redis::Client::build_with_tls(self.url(), certificates),
            None => redis::Client::open(self.url()),
        };
        client.expect("the URL of a server of a test is one")
    }

    /// What its clients have to trust, with TLS: `redis::Client::build_with_tls` takes it.
    pub fn certificates(&self) -> Option<TlsCertificates> {
        self.options.tls.then(tls::trusted)
    }

    /// Its port on 127.0.0.1, the same for its whole life.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory, in which `data` is what it keeps.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A new connection to it, as the user `default`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let patient =
            AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        self.client().get_multiplexed_async_connection_with_config(&patient).await
    }

    /// The answer to a command, given as its words with spaces between, on a connection of its own.
    ///
    /// # Errors
    /// When the server does not answer, or answers with an error.
    pub async fn ask<T: FromRedisValue>(&self, command: &str) -> RedisResult<T> {
        let mut connection = self.connect().await?;
        words(command).query_async(&mut connection).await
    }

    /// The same of a command that cannot fail.
    ///
    /// # Panics
    /// When it does.
    pub async fn tell<T: FromRedisValue>(&self, command: &str) -> T {
        match self.ask(command).await {
            Ok(answer) => answer,
            Err(error) => panic!("{command} at 127.0.0.1:{}: {error}\n{}", self.port, self.log_tail()),
        }
    }

    /// A field of its `INFO all`: `role`, or `cmdstat_evalsha`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn info(&self, field: &str) -> RedisResult<Option<String>> {
        let text: String = self.ask("INFO all").await?;
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(value.map(|value| value.trim_end().to_owned()))
    }

    /// How often a command was called so far, `evalsha` or `config|set`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn calls(&self, command: &str) -> u64 {
        let told = self.info(&format!("cmdstat_{command}")).await.expect("the server answers");
        let calls = told.as_deref().and_then(|told| told.strip_prefix("calls=")?.split(',').next()?.parse().ok());
        calls.unwrap_or(0)
    }

    /// Its version, `7.0.15`. That of Valkey is its own and not the version of Redis that it names for old clients.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn version(&self) -> String {
        for field in ["valkey_version", "redis_version"] {
            if let Some(version) = self.info(field).await.expect("the server answers") {
                return version;
            }
        }
        panic!("the server tells no version");
    }

    /// Kills it with SIGKILL, and a child that it may have. What it had given to the system's files is still there,
    /// synced or not.
    ///
    /// # Panics
    /// When the server's keeper is gone.
    pub async fn kill(&self) {
        self.with_keeper(|keeper| assert_eq!(keeper.ask("kill"), "stopped")).await;
    }

    /// Stops it where it is (SIGSTOP), as a machine that stalls would.
    ///
    /// # Panics
    /// When the server's keeper is gone.
    pub async fn freeze(&self) {
        self.with_keeper(|keeper| assert_eq!(keeper.ask("freeze"), "frozen")).await;
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    ///
    /// # Panics
    /// When the server's keeper is gone.
    pub async fn thaw(&self) {
        self.with_keeper(|keeper| assert_eq!(keeper.ask("thaw"), "thawed")).await;
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and data.
    ///
    /// # Panics
    /// When it does not come back; the message ends with the server's log.
    pub async fn start(&self) {
        self.with_keeper(|keeper| {
            for _ in 0..100 {
                if keeper.ask("start") == "ready" {
                    return;
                }
                if !port_was_taken(keeper) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            panic!("the private server of Redis did not come back:\n{}", keeper.log_tail());
        })
        .await;
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        lock(&self.keeper).log()
    }

    pub(super) fn log_tail(&self) -> String {
        lock(&self.keeper).log_tail()
    }

    pub(super) async fn with_keeper<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> T {
        let keeper = Arc::clone(&self.keeper);
        blocking(move || work(&mut lock(&keeper))).await
    }

    /// Returns once it tells this of itself.
    pub(super) async fn until(&self, what: &str, told: impl AsyncFn(&Self) -> RedisResult<bool>) {
        let mut last = None;
        for _ in 0..1500 {
            match told(self).await {
                Ok(true) => return,
                Ok(false) => last = None,
                Err(error) => last = Some(error),
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("not within half a minute: {what}, of 127.0.0.1:{}: {last:?}\n{}", self.port, self.log_tail());
    }
}

/// A command from its words.
pub(super) fn words(command: &str) -> Cmd {
    let mut whole = Cmd::new();
    for word in command.split_whitespace() {
        whole.arg(word);
    }
    whole
}

/// A file in the server's directory, which nobody else can enter. Its owner may be another user, and a Sentinel writes
/// to its own configuration.
pub(super) fn write_for_the_server(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o666)))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn port_was_taken(keeper: &Keeper) -> bool {
    keeper.log_tail().contains("Address already in use")
}

fn lock(keeper: &Mutex<Keeper>) -> MutexGuard<'_, Keeper> {
    // A panic of one test says nothing about the keeper.
    keeper.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
}
