//! The nodes of a Cluster: what is known of them, who has which slot, and how they are asked for that.
//!
//! ```text
//! call A │ finds nothing known, or a node that is lost ── asks a node ──── told ── goes on
//! call B │     the same ── waits for A's question ──────────────────────── goes on
//!        │                  no answer after 100 ms: another node is asked as well, and the first answer counts
//! ```

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::cluster::NodeAddress;
use redis::cluster_routing::Slot;
use redis::{Client, ConnectionAddr, ErrorKind, PushInfo, RedisError, RedisResult};
use tokio::sync::mpsc;

use super::super::node::Node;
use super::slots::{Member, SlotMap, Topology};
use crate::util;

/// How long an answer of a node may take before the others are asked whether it is still the primary.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(2);

/// The slots are asked for at most so often where somebody waits for them.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_millis(100);

/// The same where a redirect has told what matters already: while slots move, each brings one.
const MIN_IDLE_REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// A node that has not told the slots after this long is not waited for: another one is asked as well.
const ASK_ANOTHER_AFTER: Duration = Duration::from_millis(100);

pub(super) struct Nodes {
    /// The first nodes to be asked. All others are reached as the first of them is.
    seeds: Vec<Client>,
    pushes: Option<mpsc::UnboundedSender<PushInfo>>,
    slots: Mutex<SlotMap>,
    /// Who asks for the slots.
    asking: tokio::sync::Mutex<Asked>,
    /// How often they have been asked for.
    times_asked: AtomicUsize,
    /// Whether somebody will ask for them behind a redirect.
    will_ask: AtomicBool,
}

#[derive(Default)]
struct Asked {
    last: Option<Instant>,
    /// Why nobody has told them.
    refusal: Option<RedisError>,
}

impl Nodes {
    pub(super) fn new(seeds: Vec<Client>) -> RedisResult<Self> {
        let Some(first) = seeds.first() else {
            return Err(
                (ErrorKind::InvalidClientConfig, "a Cluster takes the client of at least one of its nodes").into()
            );
        };
        for seed in &seeds {
            NodeAddress::try_from(seed.get_connection_info().addr())?;
            if !is_reached_alike(first, seed) {
                let why = "the clients of a Cluster's nodes differ in user, password, database or TLS";
                return Err((ErrorKind::InvalidClientConfig, why).into());
            }
        }
        Ok(Self::over(seeds, None))
    }

    fn over(seeds: Vec<Client>, pushes: Option<mpsc::UnboundedSender<PushInfo>>) -> Self {
        Self {
            seeds,
            pushes,
            slots: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            times_asked: AtomicUsize::new(0),
            will_ask: AtomicBool::new(false),
        }
    }

    /// The same nodes over other connections, which tell `pushes` what comes without having been asked for.
    pub(super) fn anew(&self, pushes: Option<mpsc::UnboundedSender<PushInfo>>) -> Self {
        Self::over(self.seeds.clone(), pushes)
    }

    /// Which of the primaries has the slot, by its number.
    pub(super) fn number_of(&self, slot: Slot) -> usize {
        util::lock(&self.slots).owner(slot).map_or(0, |(number, _)| number)
    }

    /// As a node names them at this moment.
    pub(super) async fn primaries(&self) -> RedisResult<Vec<Arc<Node>>> {
        self.refresh().await?;
        Ok(util::lock(&self.slots).primaries().iter().map(|primary| Arc::clone(&primary.node)).collect())
    }

    pub(super) fn known_owner(&self, slot: Slot) -> Option<Arc<Member>> {
        util::lock(&self.slots).owner(slot).map(|(_, owner)| Arc::clone(owner))
    }

    pub(super) async fn owner(&self, slot: Slot) -> RedisResult<Arc<Member>> {
        if let Some(owner) = self.known_owner(slot) {
            return Ok(owner);
        }
        self.refresh().await?;
        let nobody = (ErrorKind::ClusterConnectionNotFound, "no node of the Cluster has the slot of the key");
        self.known_owner(slot).ok_or_else(|| nobody.into())
    }

    /// Whether anything is known of the Cluster.
    pub(super) fn is_known(&self) -> bool {
        !util::lock(&self.slots).primaries().is_empty()
    }

    /// What a redirect tells; the slots are asked for behind it, as others may have moved as well.
    pub(super) fn learn(self: &Arc<Self>, slot: Slot, address: &NodeAddress) {
        util::lock(&self.slots).learn(slot, address, || self.open(address));
        self.refresh_soon();
    }

    pub(super) fn member(&self, address: &NodeAddress) -> Arc<Member> {
        Arc::clone(util::lock(&self.slots).member(address, || self.open(address)))
    }

    /// Asks for the slots while nobody waits for them.
    pub(super) fn refresh_soon(self: &Arc<Self>) {
        if self.will_ask.swap(true, Ordering::Relaxed) {
            return;
        }
        let will_ask = WillAsk(Arc::clone(self));
        tokio::spawn(async move {
            let nodes = Arc::clone(&will_ask.0);
            let last = nodes.asking.lock().await.last;
            if let Some(last) = last {
                tokio::time::sleep(MIN_IDLE_REFRESH_INTERVAL.saturating_sub(last.elapsed())).await;
            }
            drop(will_ask);
            // Where nobody tells, the next redirect asks again.
            let _ = nodes.refresh().await;
        });
    }

    /// Returns once a node has told the slots since, or none has.
    pub(super) async fn refresh(&self) -> RedisResult<()> {
        let times_asked = self.times_asked.load(Ordering::Relaxed);
        let mut asked = self.asking.lock().await;
        if self.times_asked.load(Ordering::Relaxed) != times_asked {
            return asked.refusal.clone().map_or(Ok(()), Err);
        }
        if let Some(last) = asked.last {
            tokio::time::sleep(MIN_REFRESH_INTERVAL.saturating_sub(last.elapsed())).await;
        }
        let told = self.ask_for_slots(times_asked).await;
        let told = told.map(|topology| util::lock(&self.slots).replace(topology, |address| self.open(address)));
        *asked = Asked { last: Some(Instant::now()), refusal: told.as_ref().err().cloned() };
        self.times_asked.fetch_add(1, Ordering::Relaxed);
        told
    }

    /// The first answer counts. What it has missed, redirects tell, and each question begins with another node.
    async fn ask_for_slots(&self, times_asked: usize) -> RedisResult<Topology> {
        let mut others = self.candidates(times_asked).into_iter();
        let mut asked = FuturesUnordered::new();
        let mut refusal = None;
        loop {
            match others.next() {
                Some(member) => asked.push(async move {
                    let answer = member.node.run_one(redis::cmd("CLUSTER").arg("SLOTS")).await?;
                    Topology::parse(&answer, member.address.host())
                }),
                None if asked.is_empty() => {
                    let nobody = || (ErrorKind::ClusterConnectionNotFound, "no node of the Cluster is known").into();
                    return Err(refusal.unwrap_or_else(nobody));
                }
                None => {}
            }
            match tokio::time::timeout(ASK_ANOTHER_AFTER, asked.next()).await {
                Ok(Some(Ok(topology))) => return Ok(topology),
                Ok(Some(Err(error))) => refusal = Some(error),
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Whom to ask for the slots, one after the other.
    fn candidates(&self, times_asked: usize) -> Vec<Arc<Member>> {
        let slots = util::lock(&self.slots);
        let mut candidates = slots.primaries().to_vec();
        if !candidates.is_empty() {
            let first = times_asked % candidates.len();
            candidates.rotate_left(first);
        }
        let replicas = slots.replicas().iter().map(|address| self.open(address));
        candidates.extend(replicas);
        for seed in &self.seeds {
            // Each has an address, as `new` has seen.
            let Ok(address) = NodeAddress::try_from(seed.get_connection_info().addr()) else { continue };
            if !candidates.iter().any(|known| known.address == address) {
                candidates.push(self.open_as(address, seed.clone()));
            }
        }
        candidates
    }

    /// Does not connect.
    fn open(&self, address: &NodeAddress) -> Arc<Member> {
        let info = self.seeds[0].get_connection_info().clone();
        let (host, port) = (address.host().to_owned(), address.port());
        let addr = match info.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        // Only what is no address is refused.
        let client = Client::open(info.set_addr(addr)).unwrap_or_else(|_| self.seeds[0].clone());
        self.open_as(address.clone(), client)
    }

    fn open_as(&self, address: NodeAddress, client: Client) -> Arc<Member> {
        let mut node = Node::new(client).answering_within(STALLED_AFTER);
        if let Some(pushes) = &self.pushes {
            node = node.telling(pushes.clone());
        }
        Arc::new(Member { address, node: Arc::new(node) })
    }
}

/// Somebody will ask for the slots, unless the runtime that was to do so ends before.
struct WillAsk(Arc<Nodes>);

impl Drop for WillAsk {
    fn drop(&mut self) {
        self.0.will_ask.store(false, Ordering::Relaxed);
    }
}

/// What the other nodes are reached with is the first one's.
fn is_reached_alike(one: &Client, other: &Client) -> bool {
    let [one, other] = [one, other].map(Client::get_connection_info);
    let [settings, others] = [one, other].map(redis::ConnectionInfo::redis_settings);
    let is_encrypted = |info: &redis::ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    settings.username() == others.username()
        && settings.password() == others.password()
        && settings.db() == others.db()
        && is_encrypted(one) == is_encrypted(other)
}
