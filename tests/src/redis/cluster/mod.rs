//! A Cluster of three primaries and three replicas that loses nodes, and moves slots while it is used.
//!
//! It is made by the commands that `redis-cli --cluster create` gives, since a server's program may come alone.

mod nodes;
mod slots;

use std::{ops::RangeInclusive, time::Duration};

use redis::{RedisResult, cluster::ClusterClientBuilder};
use tokio::time::sleep;

pub use self::{
    nodes::{ClusterNode, Role},
    slots::Pace,
};
use super::{RedisOptions, RedisServer, replicas::start_all};

const PRIMARIES: usize = 3;
const SLOTS: u16 = 16_384;

/// A Cluster. Its nodes are known by the order of their start: 0, 1 and 2 are the first primaries, and 3, 4 and 5 their
/// replicas.
///
/// As a Cluster is by default, it answers nobody while a slot has no primary.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<RedisServer>,
    options: RedisOptions,
    /// The replicas that each had when it went down; none of those that run.
    down: Vec<Option<Vec<usize>>>,
}

impl RedisCluster {
    pub(super) async fn start_with(options: RedisOptions) -> Self {
        let options = as_nodes(options);
        let servers = start_all(options.clone(), 2 * PRIMARIES).await;
        let cluster = Self { down: vec![None; servers.len()], servers, options };
        cluster.share_slots().await;
        cluster.meet().await;
        for replica in PRIMARIES..2 * PRIMARIES {
            cluster.replicate(replica, replica - PRIMARIES).await;
        }
        cluster.is_well().await;
        cluster
    }

    /// A client of it, as the user `default`, that trusts its certificates. It waits some seconds for an answer: left to
    /// its own settings, it would wait for a frozen node for ever.
    pub fn client(&self) -> ClusterClientBuilder {
        let client = ClusterClientBuilder::new(self.urls())
            .response_timeout(Duration::from_secs(1))
            .overall_response_timeout(Some(Duration::from_secs(5)));
        match self.servers[0].certificates() {
            Some(certificates) => client.certs(certificates),
            None => client,
        }
    }

    /// Where its nodes are, those that do not run among them.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(RedisServer::url).collect()
    }

    /// Its nodes.
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// What a node that runs knows of all.
    ///
    /// # Panics
    /// When none answers.
    pub async fn nodes(&self) -> Vec<ClusterNode> {
        self.seen_by(self.any()).await.expect("a node that runs answers")
    }

    /// The indices of the primaries that run.
    ///
    /// # Panics
    /// When no node answers.
    pub async fn primaries(&self) -> Vec<usize> {
        let nodes = self.nodes().await;
        let ports = nodes.iter().filter(|node| node.role == Role::Primary && !node.failed && !node.slots.is_empty());
        let mut indices: Vec<_> = ports.filter_map(|node| self.index(node.port)).collect();
        indices.sort_unstable();
        indices
    }

    /// The index of the primary that has a slot.
    ///
    /// # Panics
    /// When none has it.
    pub async fn primary_of(&self, slot: u16) -> usize {
        let nodes = self.nodes().await;
        let has =
            |node: &&ClusterNode| node.role == Role::Primary && node.slots.iter().any(|slots| slots.contains(&slot));
        nodes.iter().find(has).and_then(|node| self.index(node.port)).expect("a primary has the slot")
    }

    /// Kills a node with SIGKILL, and lets the others find out.
    ///
    /// # Panics
    /// When the node's keeper is gone.
    pub async fn kill(&mut self, index: usize) {
        self.goes_down(index).await;
        self.servers[index].kill().await;
    }

    /// Ends a node as a loss of power would ([`RedisServer::lose_power`]), and lets the others find out.
    ///
    /// # Panics
    /// When it was not started for that.
    pub async fn lose_power(&mut self, index: usize) {
        self.goes_down(index).await;
        self.servers[index].lose_power().await;
    }

    /// Stops a node where it is, and lets the others find out.
    ///
    /// # Panics
    /// When the node's keeper is gone.
    pub async fn freeze(&mut self, index: usize) {
        self.goes_down(index).await;
        self.servers[index].freeze().await;
    }

    /// Lets a node go on after [`freeze`](Self::freeze), and returns once every node knows that all is well.
    ///
    /// # Panics
    /// When that is not so within half a minute.
    pub async fn thaw(&mut self, index: usize) {
        self.servers[index].thaw().await;
        self.down[index] = None;
        self.is_well().await;
    }

    /// Kills a primary, and returns as [`wait_for_failover`](Self::wait_for_failover) does.
    ///
    /// # Panics
    /// When no replica takes its place within half a minute.
    pub async fn fail_over(&mut self, primary: usize) -> usize {
        self.kill(primary).await;
        self.wait_for_failover(primary).await
    }

    /// Returns the index of the replica that took the place of a primary which was killed, frozen or lost its power, once
    /// every node that runs knows.
    ///
    /// # Panics
    /// When none does within half a minute.
    pub async fn wait_for_failover(&self, primary: usize) -> usize {
        let replicas = self.down[primary].as_deref().expect("the primary is down");
        let is_one = |primaries: &[usize]| replicas.iter().find(|replica| primaries.contains(replica)).copied();
        self.until("a replica is promoted", async || Ok(is_one(&self.primaries().await).is_some())).await;
        self.is_well().await;
        is_one(&self.primaries().await).expect("the promoted replica stays one while nothing else fails")
    }

    /// Starts a node that was killed or lost its power, and returns once every node knows that all is well.
    ///
    /// # Panics
    /// When that is not so within half a minute.
    pub async fn restart(&mut self, index: usize) {
        self.servers[index].start().await;
        self.down[index] = None;
        self.is_well().await;
    }

    /// Adds a replica of a primary, and returns its index once it is in sync.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn add_replica(&mut self, primary: usize) -> usize {
        let server = self.options.clone().start().await;
        let to = &self.servers[self.any()];
        server.tell::<()>(&format!("CLUSTER MEET 127.0.0.1 {}", to.port())).await;
        self.servers.push(server);
        self.down.push(None);
        let index = self.servers.len() - 1;
        self.all_know(self.running().count()).await;
        self.replicate(index, primary).await;
        self.is_well().await;
        index
    }

    /// Takes a replica out: it is killed, and the others forget it. No index changes by that.
    ///
    /// # Panics
    /// When a node does not answer.
    pub async fn remove_replica(&mut self, index: usize) {
        let id = self.servers[index].tell::<String>("CLUSTER MYID").await;
        self.kill(index).await;
        for other in self.running() {
            self.servers[other].tell::<()>(&format!("CLUSTER FORGET {id}")).await;
        }
    }

    /// Returns once every node that runs says that the Cluster is well and knows of each other what it is, every slot has
    /// a primary that runs, and every replica that runs is in sync.
    ///
    /// # Panics
    /// When that is not so within half a minute.
    pub async fn is_well(&self) {
        self.until("the Cluster is well", async || {
            let mut views = Vec::new();
            for index in self.running() {
                let server = &self.servers[index];
                let state: String = server.ask("CLUSTER INFO").await?;
                let in_sync = server.info("master_link_status").await?.is_none_or(|link| link == "up");
                if !in_sync || !state.contains("cluster_state:ok") {
                    return Ok(false);
                }
                views.push((server.port(), self.seen_by(index).await?));
            }
            let of_itself =
                |(port, view): &(u16, Vec<ClusterNode>)| view.iter().find(|node| node.port == *port).cloned();
            let truth: Vec<_> = views.iter().filter_map(of_itself).collect();
            let slots = truth.iter().flat_map(|node| &node.slots).map(RangeInclusive::len).sum::<usize>();
            let agree = |(_, view): &(u16, Vec<ClusterNode>)| truth.iter().all(|node| view.contains(node));
            Ok(truth.len() == views.len() && slots == usize::from(SLOTS) && views.iter().all(agree))
        })
        .await;
    }

    /// The indices of the nodes that run.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        self.down.iter().enumerate().filter(|(_, down)| down.is_none()).map(|(index, _)| index)
    }

    async fn share_slots(&self) {
        for (index, server) in self.servers.iter().enumerate() {
            // Distinct from the start, so that no two nodes have to agree on them first.
            server.tell::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1)).await;
        }
        for (index, server) in self.servers[..PRIMARIES].iter().enumerate() {
            let bound = |index: usize| index * usize::from(SLOTS) / PRIMARIES;
            let slots: Vec<_> = (bound(index)..bound(index + 1)).map(|slot| slot.to_string()).collect();
            server.tell::<()>(&format!("CLUSTER ADDSLOTS {}", slots.join(" "))).await;
        }
    }

    /// Every node is told of every other: to hear of them by gossip takes seconds.
    async fn meet(&self) {
        for (index, server) in self.servers.iter().enumerate() {
            for other in &self.servers[index + 1..] {
                server.tell::<()>(&format!("CLUSTER MEET 127.0.0.1 {}", other.port())).await;
            }
        }
        self.all_know(self.servers.len()).await;
    }

    async fn all_know(&self, count: usize) {
        self.until("the nodes have met", async || {
            for index in self.running() {
                let nodes = self.seen_by(index).await?;
                let met = nodes.iter().filter(|node| !node.in_handshake && node.connected && !node.failed).count();
                if met < count {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await;
    }

    async fn replicate(&self, replica: usize, primary: usize) {
        let id: String = self.servers[primary].tell("CLUSTER MYID").await;
        self.servers[replica].tell::<()>(&format!("CLUSTER REPLICATE {id}")).await;
        let up = async |server: &RedisServer| Ok(server.info("master_link_status").await?.as_deref() == Some("up"));
        self.servers[replica].until("in sync with its primary", up).await;
    }

    async fn goes_down(&mut self, index: usize) {
        let nodes = self.nodes().await;
        let port = self.servers[index].port();
        let id = nodes.iter().find(|node| node.port == port).map(|node| node.id.clone());
        let follow = nodes.iter().filter(|node| id.is_some() && node.primary == id);
        self.down[index] = Some(follow.filter_map(|node| self.index(node.port)).collect());
    }

    async fn until(&self, what: &str, reached: impl AsyncFn() -> RedisResult<bool>) {
        let mut last = None;
        for _ in 0..1000 {
            match reached().await {
                Ok(true) => return,
                Ok(false) => last = None,
                Err(error) => last = Some(error),
            }
            sleep(Duration::from_millis(30)).await;
        }
        let logs: Vec<_> =
            self.servers.iter().map(|server| format!("{}:\n{}", server.url(), server.log_tail())).collect();
        panic!("not within half a minute: {what}: {last:?}\n{}", logs.join("\n"));
    }

    async fn seen_by(&self, index: usize) -> RedisResult<Vec<ClusterNode>> {
        let text: String = self.servers[index].ask("CLUSTER NODES").await?;
        Ok(nodes::parse(&text))
    }

    fn any(&self) -> usize {
        self.running().next().expect("a node runs")
    }

    fn index(&self, port: u16) -> Option<usize> {
        self.servers.iter().position(|server| server.port() == port)
    }
}

/// What was set by the caller comes later, and counts.
fn as_nodes(options: RedisOptions) -> RedisOptions {
    options
        .set_first("cluster-enabled", "yes")
        .set_first("cluster-config-file", "nodes.conf")
        // Short enough for a test, and long enough for a busy machine to let every node answer.
        .set_first("cluster-node-timeout", "1000")
}
