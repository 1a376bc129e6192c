//! How a server is set up.

use std::fmt::Write as _;

use super::{RedisCluster, RedisReplicas, RedisSentinels, RedisServer, tls};

/// When what a server was told is on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before each answer.
    Always,
    /// Each second, whatever was answered meanwhile.
    Everysec,
    /// When the system likes.
    No,
}

impl Fsync {
    fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
            Self::No => "no",
        }
    }
}

/// How private servers are set up: one, or each of a group.
///
/// ```no_run
/// # async fn example() {
/// use cratestack_tests::{RedisOptions, redis::Fsync};
///
/// let server = RedisOptions::new().append_only(Fsync::Always).set("maxmemory", "64mb").start().await;
/// println!("{}", server.url());
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    password: Option<String>,
    pub(super) tls: bool,
    pub(super) loses_power: bool,
    lines: Vec<(String, String)>,
}

impl RedisOptions {
    /// In memory only, without a password.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the append-only file, so that a server that is killed knows at its next start what it was told.
    #[must_use]
    pub fn append_only(self, fsync: Fsync) -> Self {
        self.set("appendonly", "yes").set("appendfsync", fsync.name())
    }

    /// The password of the user `default`, which [`RedisServer::url`] then has.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// TLS for everybody: clients, replicas, the nodes of a Cluster. Nothing answers without it.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Notes what is synced, for [`RedisServer::lose_power`]. On Linux only.
    #[must_use]
    pub fn loses_power(mut self) -> Self {
        self.loses_power = true;
        self
    }

    /// Any other line of `redis.conf`: `set("user", "alice on >secret ~app:* +@all")`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line that gives way to what was set.
    pub(super) fn set_first(mut self, name: &str, value: &str) -> Self {
        self.lines.insert(0, (name.to_owned(), value.to_owned()));
        self
    }

    /// Starts one server.
    ///
    /// # Panics
    /// When it cannot be started; the message ends with the server's log.
    pub async fn start(self) -> RedisServer {
        RedisServer::start_with(self).await
    }

    /// Starts a primary and this many replicas, and returns once they are in sync.
    ///
    /// # Panics
    /// When they cannot be started; the message ends with a server's log.
    pub async fn start_replicas(self, replicas: usize) -> RedisReplicas {
        RedisReplicas::start_with(self, replicas).await
    }

    /// Starts a primary, this many replicas and three sentinels, and returns once these know of each other.
    ///
    /// # Panics
    /// When they cannot be started; the message ends with a server's log.
    pub async fn start_sentinels(self, replicas: usize) -> RedisSentinels {
        RedisSentinels::start_with(self, replicas).await
    }

    /// Starts a Cluster of three primaries with a replica each, and returns once every node knows that all is well.
    ///
    /// # Panics
    /// When it cannot be started; the message ends with a server's log.
    pub async fn start_cluster(self) -> RedisCluster {
        RedisCluster::start_with(self).await
    }

    pub(super) fn password_of(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The text of `redis.conf`.
    pub(super) fn config(&self, port: u16) -> String {
        let mut text = self.listening(port);
        text.push_str("save \"\"\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n");
        let mut line = |name: &str, value: &str| writeln!(text, "{name} {value}").expect("a string takes all");
        if let Some(password) = &self.password {
            line("requirepass", password);
            line("masterauth", password);
        }
        for (name, value) in &self.lines {
            line(name, value);
        }
        text
    }
    /// What a Sentinel needs, too.
    pub(super) fn listening(&self, port: u16) -> String {
        let listening = if self.tls { tls::config(port) } else { format!("port {port}\n") };
        format!("bind 127.0.0.1\nprotected-mode no\ndaemonize no\ndir data\n{listening}")
    }
}
