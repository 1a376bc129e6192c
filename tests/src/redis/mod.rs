//! A real Redis or Valkey for every test: one server per test process, a prefix of keys of its own per call.
//!
//! ```no_run
//! # async fn example() {
//! use cratestack_tests::TestRedis;
//!
//! let redis = TestRedis::connect().await;
//! println!("{} {}", redis.url(), redis.prefix());
//! # }
//! ```
//!
//! `TEST_REDIS_URL` names a server to use instead of a private one, and `REDIS_SERVER` the program that private ones are
//! started from. What is stopped, reconfigured, or more than one server is always private: [`RedisServer`],
//! [`RedisReplicas`], [`RedisSentinels`], [`RedisCluster`].

mod binaries;
mod cluster;
mod options;
mod ports;
mod power;
mod replicas;
mod sentinels;
mod server;
mod tls;

use std::{
    env, process,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

pub use self::{
    cluster::{ClusterNode, Pace, RedisCluster, Role},
    options::{Fsync, RedisOptions},
    replicas::RedisReplicas,
    sentinels::RedisSentinels,
    server::RedisServer,
};

/// A prefix of keys of its own, on a server that others use, too.
#[derive(Debug, Clone)]
pub struct TestRedis {
    url: String,
    prefix: String,
}

impl TestRedis {
    /// On the server of `TEST_REDIS_URL`, or on the private one of this process, started by the first call.
    ///
    /// # Panics
    /// When there is no Redis to be had; the message names the command that brings one.
    pub async fn connect() -> Self {
        static PRIVATE: OnceLock<RedisServer> = OnceLock::new();
        let url = match env::var("TEST_REDIS_URL") {
            Ok(url) if !url.is_empty() => url,
            _ => server::blocking(|| PRIVATE.get_or_init(start_shared).url()).await,
        };
        Self { url, prefix: unique_prefix() }
    }

    /// Where the server is, as `redis://…`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the names of all keys of the test start with. They stay: a server is not emptied under others.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

fn start_shared() -> RedisServer {
    RedisServer::start_blocking(RedisOptions::new(), &[], RedisOptions::config)
}

/// Unique on a server that several processes, or several machines, share.
fn unique_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("cratestack_test_{}_{}_{}", process::id(), nanos, NEXT.fetch_add(1, Ordering::Relaxed))
}
