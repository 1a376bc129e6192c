//! A primary and replicas that three sentinels look after.

use std::time::Duration;

use redis::{FromRedisValue, RedisResult, Value};
use tokio::time::sleep;

use super::{RedisOptions, RedisServer, replicas::start_all};

/// The name that the sentinels know the primary by.
const NAME: &str = "payments";

/// Three sentinels, of whom two must agree, and the servers that they look after.
#[derive(Debug)]
pub struct RedisSentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl RedisSentinels {
    pub(super) async fn start_with(options: RedisOptions, replicas: usize) -> Self {
        let servers = start_all(options.clone(), replicas + 1).await;
        for replica in &servers[1..] {
            replica.tell::<()>(&format!("REPLICAOF 127.0.0.1 {}", servers[0].port())).await;
        }
        for replica in &servers[1..] {
            let up =
                async |replica: &RedisServer| Ok(replica.info("master_link_status").await?.as_deref() == Some("up"));
            replica.until("the link to its primary is up", up).await;
        }
        let primary = servers[0].port();
        let of_sentinel = if options.tls { RedisOptions::new().tls() } else { RedisOptions::new() };
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let options = options.clone();
            let config = move |_: &RedisOptions, port| config(&options, port, primary);
            let sentinel = RedisServer::start_as(of_sentinel.clone(), &["--sentinel"], config).await;
            // To hear of each other takes seconds otherwise. Redis 6.2 does not know this, and is slow.
            let _: RedisResult<()> = sentinel.ask("SENTINEL DEBUG PUBLISH-PERIOD 200 ASK-PERIOD 200").await;
            sentinels.push(sentinel);
        }
        let all = Self { servers, sentinels };
        all.know_each_other(replicas).await;
        all
    }

    /// Where the sentinels are.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    /// The name that the sentinels know the primary by.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The servers, of which 0 is the first primary.
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The sentinels themselves.
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// The index of the server that most sentinels hold for the primary, and that says so itself.
    ///
    /// # Panics
    /// When there is none within half a minute.
    pub async fn primary(&self) -> usize {
        self.until("one is the primary", |_| true).await
    }

    /// Returns once the primary is another than that with this index, and says which: first
    /// [`kill`](RedisServer::kill) it or [`freeze`](RedisServer::freeze) it.
    ///
    /// # Panics
    /// When that is not so within half a minute.
    pub async fn wait_for_failover(&self, from: usize) -> usize {
        self.until("another is the primary", |index| index != from).await
    }

    async fn until(&self, what: &str, is_it: impl Fn(usize) -> bool) -> usize {
        for _ in 0..600 {
            if let Some(index) = self.agreed().await.filter(|index| is_it(*index)) {
                return index;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("not within half a minute: {what}\n{}", self.sentinels[0].log_tail());
    }

    async fn agreed(&self) -> Option<usize> {
        let mut votes = vec![0; self.servers.len()];
        for sentinel in &self.sentinels {
            let told: RedisResult<(String, u16)> =
                sentinel.ask(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}")).await;
            if let Ok((_, port)) = told
                && let Some(index) = self.servers.iter().position(|server| server.port() == port)
            {
                votes[index] += 1;
            }
        }
        let index = votes.into_iter().position(|votes| votes >= 2)?;
        let role: Value = self.servers[index].ask("ROLE").await.ok()?;
        let Value::Array(role) = role else { return None };
        let name = String::from_redis_value(role.into_iter().next()?).ok()?;
        (name == "master").then_some(index)
    }

    async fn know_each_other(&self, replicas: usize) {
        for sentinel in &self.sentinels {
            let known = async |sentinel: &RedisServer| {
                let sentinels: Vec<Value> = sentinel.ask(&format!("SENTINEL SENTINELS {NAME}")).await?;
                let known: Vec<Value> = sentinel.ask(&format!("SENTINEL REPLICAS {NAME}")).await?;
                Ok(sentinels.len() == 2 && known.len() == replicas)
            };
            sentinel.until("a sentinel knows of the others and of the replicas", known).await;
        }
    }
}

/// The times are what a machine that many tests share can keep, and still some seconds for a failover.
fn config(options: &RedisOptions, port: u16, primary: u16) -> String {
    let password = options.password_of().map(|password| format!("sentinel auth-pass {NAME} {password}\n"));
    format!(
        "{}sentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
         sentinel down-after-milliseconds {NAME} 1000\n\
         sentinel failover-timeout {NAME} 3000\n\
         sentinel parallel-syncs {NAME} 1\n{}",
        options.listening(port),
        password.unwrap_or_default()
    )
}
