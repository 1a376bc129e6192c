//! The servers of a round, how they are lost, and how an operator or Sentinel brings the service back.

use std::{ops::Range, time::Duration};

use cratestack_runtime::RedisStore;
use cratestack_tests::{
    Proxy, RedisOptions, RedisReplicas, RedisSentinels, RedisServer, Way, fleet::Rng, redis::Fsync,
};
use redis::sentinel::{SentinelClient, SentinelServerType};
use tokio::time::sleep;

/// What the link to a replica adds, in milliseconds, at random: so much is under way when the primary is lost.
const LINK_DELAY: Range<u64> = 2..21;
/// The same of the second of two replicas, which is further away.
const LONG_LINK_DELAY: Range<u64> = 20..201;
/// How long both sides of a split serve their clients.
const SPLIT: Duration = Duration::from_millis(300);

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// The only server's power, with what its disk does not have.
    Power(Fsync),
    /// The only server's process; the system still writes what it was given.
    Process(Fsync),
    /// The primary's machine. A replica is promoted.
    Primary { replicas: usize, promoted: Promoted },
    /// The way between the primary and its two replicas, of which the more advanced is promoted for half of the clients.
    Split,
    /// The primary's machine, of two replicas one of which Sentinel promotes.
    Sentinel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promoted {
    /// Any, whatever it has.
    Any,
    /// The one that has received most.
    MostAdvanced,
}

/// The servers of a round, and then of the next. Two processes of the service use them.
pub enum Servers {
    One(RedisServer, Outage),
    Replicated { servers: RedisReplicas, front: Proxy, promoted: Promoted },
    Split { servers: RedisReplicas, fronts: [Proxy; 2], before: usize },
    Sentinel { servers: RedisSentinels, links: [Proxy; 2], primary: usize },
}

impl Servers {
    pub async fn start(outage: Outage, rng: &mut Rng) -> Self {
        match outage {
            Outage::Power(fsync) => {
                let server = RedisOptions::new().append_only(fsync).loses_power().start().await;
                Self::One(server, outage)
            }
            Outage::Process(fsync) => Self::One(RedisOptions::new().append_only(fsync).start().await, outage),
            Outage::Primary { replicas, promoted } => {
                let servers = replicated(replicas, rng).await;
                let front = Proxy::before(&servers.primary().url()).await;
                Self::Replicated { servers, front, promoted }
            }
            Outage::Split => {
                let servers = replicated(2, rng).await;
                let url = servers.primary().url();
                let fronts = [Proxy::before(&url).await, Proxy::before(&url).await];
                Self::Split { servers, fronts, before: 0 }
            }
            Outage::Sentinel => {
                let servers = RedisOptions::new().start_sentinels(2).await;
                let primary = servers.primary().await;
                let links = [slow_link(&servers, primary, rng).await, slow_link(&servers, primary, rng).await];
                let replicas = (0..3).filter(|index| *index != primary);
                for (index, link) in replicas.zip(&links) {
                    follow_over(&servers.servers()[index], link).await;
                }
                Self::Sentinel { servers, links, primary }
            }
        }
    }

    /// For one more round; none where they cannot serve again.
    pub async fn again(self, rng: &mut Rng) -> Option<Self> {
        match &self {
            Self::Sentinel { .. } => return None,
            Self::Replicated { servers, .. } | Self::Split { servers, .. } => {
                servers.in_sync().await;
                slow_links(servers, rng);
            }
            Self::One(..) => {}
        }
        Some(self)
    }

    /// As a process of the service has it.
    pub fn store(&self, process: usize) -> RedisStore {
        let at = |url: &str| RedisStore::new(redis::Client::open(url).unwrap());
        match self {
            Self::One(server, _) => RedisStore::new(server.client()),
            Self::Replicated { front, .. } => at(front.url()),
            Self::Split { fronts, .. } => at(fronts[process].url()),
            Self::Sentinel { servers, .. } => {
                let (urls, name) = (servers.urls(), servers.name().to_owned());
                let client = SentinelClient::build(urls, name, None, SentinelServerType::Master);
                RedisStore::sentinel(client.unwrap())
            }
        }
    }

    /// Returns once nothing that is told comes from what was lost; in a split, once both sides serve.
    pub async fn lose(&mut self) {
        match self {
            Self::One(server, Outage::Power(_)) => server.lose_power().await,
            Self::One(server, _) => server.kill().await,
            // At one moment for clients and replicas: what is under way to either arrives no more.
            Self::Replicated { servers, front, .. } => {
                front.set(Way::Cut);
                cut_links(servers);
            }
            Self::Split { servers, fronts, before } => {
                cut_links(servers);
                // Until then an acknowledgement might still come through.
                for replica in servers.replicas() {
                    while is_linked(&servers.servers()[replica]).await {}
                }
                let replica = most_advanced(servers).await;
                *before = primary_of(servers);
                servers.promote(replica).await;
                lead(&fronts[1], servers.primary());
            }
            Self::Sentinel { servers, links, primary } => {
                for link in links.iter() {
                    link.set(Way::Cut);
                }
                servers.servers()[*primary].kill().await;
            }
        }
    }

    /// Brings the service back.
    pub async fn mend(&mut self, rng: &mut Rng) {
        match self {
            Self::One(server, _) => server.start().await,
            Self::Replicated { servers, front, promoted } => {
                let before = primary_of(servers);
                servers.servers()[before].kill().await;
                let replica = match promoted {
                    Promoted::Any => rng.pick(&servers.replicas().collect::<Vec<_>>()),
                    Promoted::MostAdvanced => most_advanced(servers).await,
                };
                servers.promote(replica).await;
                lead(front, servers.primary());
                // Who wants acknowledgements needs replicas again.
                servers.servers()[before].start().await;
                servers.follow(before).await;
            }
            Self::Split { servers, fronts, before } => {
                sleep(SPLIT).await;
                fronts[0].set(Way::Cut);
                servers.servers()[*before].kill().await;
                lead(&fronts[0], servers.primary());
                servers.servers()[*before].start().await;
                servers.follow(*before).await;
            }
            Self::Sentinel { servers, primary, .. } => *primary = servers.wait_for_failover(*primary).await,
        }
    }
}

async fn replicated(replicas: usize, rng: &mut Rng) -> RedisReplicas {
    let servers = RedisOptions::new().start_replicas(replicas).await;
    slow_links(&servers, rng);
    servers
}

fn primary_of(servers: &RedisReplicas) -> usize {
    (0..servers.servers().len()).find(|index| servers.replicas().all(|replica| replica != *index)).unwrap()
}

fn slow_links(servers: &RedisReplicas, rng: &mut Rng) {
    for (replica, delays) in servers.replicas().zip([LINK_DELAY, LONG_LINK_DELAY]) {
        servers.slow_link(replica, any_of(delays, rng));
    }
}

fn any_of(delays: Range<u64>, rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.between(delays.start, delays.end))
}

/// Sentinel has replicas follow the primary directly, and looks after that so seldom that a round is over before.
async fn slow_link(servers: &RedisSentinels, primary: usize, rng: &mut Rng) -> Proxy {
    let link = Proxy::before(&servers.servers()[primary].url()).await;
    link.slow(any_of(LINK_DELAY, rng));
    link
}

async fn follow_over(replica: &RedisServer, link: &Proxy) {
    replica.tell::<()>(&format!("REPLICAOF 127.0.0.1 {}", link.port())).await;
    while !is_linked(replica).await {
        sleep(Duration::from_millis(20)).await;
    }
}

async fn is_linked(replica: &RedisServer) -> bool {
    replica.info("master_link_status").await.unwrap().as_deref() == Some("up")
}

fn cut_links(servers: &RedisReplicas) {
    for replica in servers.replicas() {
        servers.set_link(replica, Way::Cut);
    }
}

fn lead(front: &Proxy, to: &RedisServer) {
    front.set(Way::Cut);
    front.lead_to(&to.url());
    front.set(Way::Open);
}

async fn most_advanced(servers: &RedisReplicas) -> usize {
    let mut best = (-1, 0);
    for replica in servers.replicas() {
        let offset = servers.servers()[replica].info("slave_repl_offset").await.unwrap();
        best = best.max((offset.and_then(|offset| offset.parse::<i64>().ok()).unwrap_or(-1), replica));
    }
    best.1
}
