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
//! - `slots` is who has which slot, `nodes` how they are asked for it, `route` where a call is sent next.
//! - Without acknowledgements, calls that arrive together share what the connection to their node sends. With them they
//!   share a pipeline and its `WAIT`: each node has a queue of its own in `calls`, so that none waits for another.
//! - A node that does not answer holds up its own callers, for a few seconds at most.

mod nodes;
mod route;
mod slots;

use std::sync::Arc;

use futures_util::future::join_all;
use redis::cluster_routing::Slot;
use redis::{Client, Cmd, PushInfo, RedisResult, Value};
use tokio::sync::mpsc;

use self::nodes::{Nodes, STALLED_AFTER};
use self::route::{Hop, Way, leads_on};
use self::slots::Member;
use super::acknowledgement::Acknowledgement;
use super::node::Node;

pub(super) struct Cluster {
    nodes: Arc<Nodes>,
}

/// A command about a key.
#[derive(Clone, Copy)]
pub(super) struct KeyedCommand<'a> {
    pub(super) key: &'a [u8],
    pub(super) command: &'a Cmd,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Client>) -> RedisResult<Self> {
        Nodes::new(seeds).map(Self::over)
    }

    fn over(nodes: Nodes) -> Self {
        Self { nodes: Arc::new(nodes) }
    }

    /// The same Cluster, and nothing else in common.
    #[cfg(all(feature = "axum", feature = "testing"))]
    pub(super) fn anew(&self) -> Self {
        Self::over(self.nodes.anew(None))
    }

    /// The same over connections that tell what comes without having been asked for.
    pub(super) fn telling(&self, pushes: mpsc::UnboundedSender<PushInfo>) -> Self {
        Self::over(self.nodes.anew(Some(pushes)))
    }

    pub(super) async fn run_one(&self, KeyedCommand { key, command }: KeyedCommand<'_>) -> RedisResult<Value> {
        let mut way = Way::of(Slot::for_key(key), 2 * STALLED_AFTER);
        loop {
            let answer = match way.hop(&self.nodes).await {
                Ok(hop) => hop.run_one(command).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => way.after(&self.nodes, error).await?,
            }
        }
    }

    /// The answer, and what came of the acknowledgement that follows.
    pub(super) async fn run_acknowledged(
        &self,
        KeyedCommand { key, command }: KeyedCommand<'_>,
        acknowledgement: Acknowledgement,
    ) -> RedisResult<(Value, Value)> {
        let mut way = Way::of(Slot::for_key(key), 2 * STALLED_AFTER + acknowledgement.timeout());
        loop {
            let answer = match way.hop(&self.nodes).await {
                Ok(hop) => acknowledged_by(&hop, command, acknowledgement).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => way.after(&self.nodes, error).await?,
            }
        }
    }

    /// The answers of those that have one, in a pipeline for each node with one acknowledgement for all. The others are
    /// to be sent by themselves.
    pub(super) async fn run_together(
        &self,
        commands: &[KeyedCommand<'_>],
        acknowledgement: Acknowledgement,
    ) -> Vec<Option<RedisResult<(Value, Value)>>> {
        let mut nodes: Vec<(Arc<Member>, Vec<usize>)> = Vec::new();
        for (number, command) in commands.iter().enumerate() {
            // Who asks for the owner of one slot would hold up those of all others.
            let Some(owner) = self.nodes.known_owner(Slot::for_key(command.key)) else { continue };
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
                // So that what is sent again by itself finds who has taken the node's place.
                Err(error) if leads_on(&error) => drop(self.nodes.refresh().await),
                Err(error) => numbers.into_iter().for_each(|number| answers[number] = Some(Err(error.clone()))),
            }
        }
        answers
    }

    /// Which of the primaries has the key, by its number.
    pub(super) fn number_of(&self, key: &[u8]) -> usize {
        self.nodes.number_of(Slot::for_key(key))
    }

    /// As a node names them at this moment.
    pub(super) async fn primaries(&self) -> RedisResult<Vec<Arc<Node>>> {
        self.nodes.primaries().await
    }

    /// Asks who has the slots while nobody waits for it.
    pub(super) fn refresh_soon(&self) {
        self.nodes.refresh_soon();
    }
}

async fn acknowledged_by(hop: &Hop, command: &Cmd, acknowledgement: Acknowledgement) -> RedisResult<(Value, Value)> {
    let node = &hop.member.node;
    let (mut answers, acknowledged) = node.run_acknowledged(&[command], hop.is_asking, acknowledgement).await?;
    Ok((answers.pop().unwrap_or_default().extract_error()?, acknowledged))
}
