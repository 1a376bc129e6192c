//! A Cluster: each call goes to the node that has its key's slot, over the connection that all calls to that node share.
//!
//! The slots are asked for once, by the first call, and again where a node says that one has moved, or is lost. One caller
//! asks for all:
//!
//! ```text
//! slot 7 moves from node 1 to node 2
//! call A │ node 1 ── MOVED 7 node 2: learns it ── node 2 ── answer
//! task   │              └─ who has the slots? ── node 2: the others that have moved as well
//! call B │     node 1 ── MOVED 7 node 2 ── node 2 ── answer            (sent before A had learnt it)
//! call C │                      node 2 ── answer
//!
//! node 1 falls silent, and its replica 4 is promoted
//! call A │ node 1 ── no answer ── who has the slots? ── node 3: node 4 has them ── node 4 ── answer
//! call B │    node 1 ── no answer ── waits for A's question ──────────────────── node 4 ── answer
//! call C │ node 2 ── answer                                            (it waits for nobody)
//! ```
//!
//! - `slots` is who has which slot, `route` where a call is sent next.
//! - Without acknowledgements, calls that arrive together share what the connection to their node sends. With them they
//!   share a pipeline and its `WAIT`: each node has a queue of its own in `calls`, so that none waits for another.
//! - A node that does not answer holds up its own callers, for a few seconds at most.

mod route;
mod slots;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use redis::cluster::NodeAddress;
use redis::cluster_routing::Slot;
use redis::{Client, Cmd, ConnectionAddr, ErrorKind, PushInfo, RedisError, RedisResult, Value};
use tokio::sync::mpsc;

use self::route::{Hop, Way, leads_on};
use self::slots::{Member, SlotMap, Topology};
use super::acknowledgement::Acknowledgement;
use super::node::Node;
use crate::util;

/// How long an answer of a node may take before the others are asked whether it is still the primary.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// The slots are asked for at most so often where somebody waits for them.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_millis(100);

/// The same where a redirect has told what matters already: while slots move, each brings one.
const MIN_IDLE_REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// A node that has not told the slots after this long is not waited for: another one is asked as well.
const ASK_ANOTHER_AFTER: Duration = Duration::from_millis(100);

pub(super) struct Cluster {
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

/// A command about a key.
#[derive(Clone, Copy)]
pub(super) struct KeyedCommand<'a> {
    pub(super) key: &'a [u8],
    pub(super) command: &'a Cmd,
}

impl Cluster {
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

    /// The same Cluster, and nothing else in common.
    pub(super) fn anew(&self) -> Self {
        Self::over(self.seeds.clone(), None)
    }

    /// One whose connections tell what comes without having been asked for.
    pub(super) fn telling(self, pushes: mpsc::UnboundedSender<PushInfo>) -> Self {
        Self { pushes: Some(pushes), ..self }
    }

    pub(super) async fn run_one(
        self: &Arc<Self>,
        KeyedCommand { key, command }: KeyedCommand<'_>,
    ) -> RedisResult<Value> {
        let mut way = Way::of(Slot::for_key(key), 2 * STALLED_AFTER);
        loop {
            let answer = match self.hop(&mut way).await {
                Ok(hop) => hop.run_one(command).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => self.after(&mut way, error).await?,
            }
        }
    }

    /// The answer, and what came of the acknowledgement that follows.
    pub(super) async fn run_acknowledged(
        self: &Arc<Self>,
        KeyedCommand { key, command }: KeyedCommand<'_>,
        acknowledgement: Acknowledgement,
    ) -> RedisResult<(Value, Value)> {
        let mut way = Way::of(Slot::for_key(key), 2 * (STALLED_AFTER + acknowledgement.timeout()));
        loop {
            let answer = match self.hop(&mut way).await {
                Ok(hop) => acknowledged_by(&hop, command, acknowledgement).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => self.after(&mut way, error).await?,
            }
        }
    }

    /// The answers of those that have one, in a pipeline for each node with one acknowledgement for all. The others are
    /// to be sent by themselves.
    pub(super) async fn run_together(
        self: &Arc<Self>,
        commands: &[KeyedCommand<'_>],
        acknowledgement: Acknowledgement,
    ) -> Vec<Option<RedisResult<(Value, Value)>>> {
        let mut nodes: Vec<(Arc<Member>, Vec<usize>)> = Vec::new();
        for (number, command) in commands.iter().enumerate() {
            let Ok(owner) = self.owner(Slot::for_key(command.key)).await else { continue };
            match nodes.iter_mut().find(|(node, _)| Arc::ptr_eq(node, &owner)) {
                Some((_, numbers)) => numbers.push(number),
                None => nodes.push((owner, vec![number])),
            }
        }
        let mut answers: Vec<_> = commands.iter().map(|_| None).collect();
        let sent = nodes.into_iter().map(|(member, numbers)| async move {
            let commands: Vec<_> = numbers.iter().map(|number| commands[*number].command).collect();
            (numbers, member.node.run_acknowledged(&commands, false, acknowledgement).await)
        });
        for (numbers, sent) in join_all(sent).await {
            match sent {
                Ok((values, acknowledged)) => {
                    for (number, value) in numbers.into_iter().zip(values) {
                        answers[number] = match value.extract_error() {
                            Err(error) if leads_on(&error) => None,
                            answer => Some(answer.map(|answer| (answer, acknowledged.clone()))),
                        };
                    }
                }
                Err(error) if leads_on(&error) => {}
                Err(error) => numbers.into_iter().for_each(|number| answers[number] = Some(Err(error.clone()))),
            }
        }
        answers
    }

    /// Which of the primaries has the key, by its number.
    pub(super) fn number_of(&self, key: &[u8]) -> usize {
        util::lock(&self.slots).owner(Slot::for_key(key)).map_or(0, |(number, _)| number)
    }

    /// As a node names them at this moment.
    pub(super) async fn primaries(&self) -> RedisResult<Vec<Arc<Node>>> {
        self.refresh().await?;
        Ok(util::lock(&self.slots).primaries().iter().map(|primary| Arc::clone(&primary.node)).collect())
    }

    fn known_owner(&self, slot: Slot) -> Option<Arc<Member>> {
        util::lock(&self.slots).owner(slot).map(|(_, owner)| Arc::clone(owner))
    }

    async fn owner(&self, slot: Slot) -> RedisResult<Arc<Member>> {
        if let Some(owner) = self.known_owner(slot) {
            return Ok(owner);
        }
        self.refresh().await?;
        let nobody = (ErrorKind::ClusterConnectionNotFound, "no node of the Cluster has the slot of the key");
        self.known_owner(slot).ok_or_else(|| nobody.into())
    }

    /// Whether anything is known of the Cluster.
    fn is_known(&self) -> bool {
        !util::lock(&self.slots).primaries().is_empty()
    }

    /// What a redirect tells; the slots are asked for behind it, as others may have moved as well.
    fn learn(self: &Arc<Self>, slot: Slot, address: &NodeAddress) {
        util::lock(&self.slots).learn(slot, address, || self.open(address));
        self.refresh_soon();
    }

    fn member(&self, address: &NodeAddress) -> Arc<Member> {
        Arc::clone(util::lock(&self.slots).member(address, || self.open(address)))
    }

    /// Asks for the slots while nobody waits for them.
    pub(super) fn refresh_soon(self: &Arc<Self>) {
        if self.will_ask.swap(true, Ordering::Relaxed) {
            return;
        }
        let cluster = Arc::clone(self);
        tokio::spawn(async move {
            let last = cluster.asking.lock().await.last;
            if let Some(last) = last {
                tokio::time::sleep(MIN_IDLE_REFRESH_INTERVAL.saturating_sub(last.elapsed())).await;
            }
            cluster.will_ask.store(false, Ordering::Relaxed);
            // Where nobody tells, the next redirect asks again.
            let _ = cluster.refresh().await;
        });
    }

    /// Returns once a node has told the slots since, or none has.
    async fn refresh(&self) -> RedisResult<()> {
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

async fn acknowledged_by(hop: &Hop, command: &Cmd, acknowledgement: Acknowledgement) -> RedisResult<(Value, Value)> {
    let node = &hop.member.node;
    let (mut answers, acknowledged) = node.run_acknowledged(&[command], hop.is_asking, acknowledgement).await?;
    Ok((answers.pop().unwrap_or_default().extract_error()?, acknowledged))
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
