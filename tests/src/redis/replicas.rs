//! A primary and replicas that follow it, each over a link that can be cut.

use redis::RedisResult;

use super::{RedisOptions, RedisServer};
use crate::{Proxy, Way};

/// A primary and its replicas. Nobody promotes one but the test.
#[derive(Debug)]
pub struct RedisReplicas {
    servers: Vec<RedisServer>,
    /// The way from each to the primary; none from the primary.
    links: Vec<Option<Proxy>>,
    primary: usize,
}

impl RedisReplicas {
    pub(super) async fn start_with(options: RedisOptions, replicas: usize) -> Self {
        let servers = start_all(options, replicas + 1).await;
        let links = servers.iter().map(|_| None).collect();
        let mut all = Self { servers, links, primary: 0 };
        for replica in 1..=replicas {
            all.follow(replica).await;
        }
        all.in_sync().await;
        all
    }

    /// The primary.
    pub fn primary(&self) -> &RedisServer {
        &self.servers[self.primary]
    }

    /// The servers in the order of their start, of which 0 is the first primary.
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The indices of those that are not the primary.
    pub fn replicas(&self) -> impl Iterator<Item = usize> {
        let primary = self.primary;
        (0..self.servers.len()).filter(move |index| *index != primary)
    }

    /// What becomes of what the primary and a replica send to each other.
    ///
    /// # Panics
    /// When the index is the primary's.
    pub fn set_link(&self, replica: usize, way: Way) {
        self.links[replica].as_ref().expect("a replica has a link to the primary").set(way);
    }

    /// Returns once every replica that follows has all that the primary has.
    ///
    /// # Panics
    /// When that is not so within half a minute.
    pub async fn in_sync(&self) {
        for replica in self.replicas().filter(|replica| self.links[*replica].is_some()) {
            let caught_up = async |replica: &RedisServer| {
                let up = replica.info("master_link_status").await?.as_deref() == Some("up");
                let reached = offset(replica, "slave_repl_offset").await?;
                Ok(up && reached >= offset(self.primary(), "master_repl_offset").await?)
            };
            self.servers[replica].until("in sync with its primary", caught_up).await;
        }
    }

    /// Makes a replica the primary with what it has, as an operator does whose primary is gone. The others follow it.
    /// The primary of before is not told: it may be dead, and if it is not, it goes on as one.
    ///
    /// # Panics
    /// When the replica does not answer.
    pub async fn promote(&mut self, replica: usize) {
        self.servers[replica].tell::<()>("REPLICAOF NO ONE").await;
        let before = std::mem::replace(&mut self.primary, replica);
        self.links[replica] = None;
        for other in self.replicas().collect::<Vec<_>>() {
            self.links[other] = None;
            if other != before {
                self.follow(other).await;
            }
        }
    }

    /// Makes a server that runs a replica of the primary, which drops what the primary does not have.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn follow(&mut self, index: usize) {
        let link = Proxy::before(&self.primary().url()).await;
        self.servers[index].tell::<()>(&format!("REPLICAOF 127.0.0.1 {}", link.port())).await;
        self.links[index] = Some(link);
    }
}

async fn offset(server: &RedisServer, field: &str) -> RedisResult<i64> {
    Ok(server.info(field).await?.and_then(|offset| offset.parse().ok()).unwrap_or(-1))
}

/// This many servers, started at the same time.
pub(super) async fn start_all(options: RedisOptions, count: usize) -> Vec<RedisServer> {
    let starting: Vec<_> = (0..count).map(|_| tokio::spawn(RedisServer::start_with(options.clone()))).collect();
    let mut servers = Vec::with_capacity(count);
    for started in starting {
        servers.push(started.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic())));
    }
    servers
}
