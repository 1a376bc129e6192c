//! What the scripts run on: one node or a Cluster, with or without acknowledgements.

use std::fmt;
use std::sync::Arc;

use redis::{Cmd, PushInfo, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::mpsc;

use super::acknowledgement::Acknowledgement;
use super::cluster::{Cluster, KeyedCommand};
use super::command::Command;
use super::error::store_error;
use super::node::Node;
use super::script::{ON_A_CLUSTER, ON_A_NODE, WakingScripts};
use crate::store::StoreError;

pub(super) enum Server {
    Node(Arc<Node>),
    Cluster(Cluster),
}

/// An answer, and why its caller is not to rely on what it says was written.
pub(super) struct Answered {
    pub(super) value: Value,
    pub(super) unacknowledged: Option<StoreError>,
}

impl Answered {
    fn plainly(value: Value) -> Self {
        Self { value, unacknowledged: None }
    }

    /// The answer, where its caller may rely on it.
    pub(super) fn into_value(self) -> Result<Value, StoreError> {
        match self.unacknowledged {
            Some(error) => Err(error),
            None => Ok(self.value),
        }
    }
}

type Outcome = Result<Answered, StoreError>;

impl Server {
    /// The scripts that tell those who wait.
    pub(super) fn waking_scripts(&self) -> &'static WakingScripts {
        match self {
            Self::Node(_) => &ON_A_NODE,
            Self::Cluster(_) => &ON_A_CLUSTER,
        }
    }

    /// The same servers, and nothing else in common.
    #[cfg(all(feature = "axum", feature = "testing"))]
    pub(super) fn anew(&self) -> Self {
        match self {
            Self::Node(node) => Self::Node(Arc::new(node.anew())),
            Self::Cluster(cluster) => Self::Cluster(cluster.anew()),
        }
    }

    /// The same over connections of their own, which tell what comes without having been asked for.
    pub(super) fn telling(&self, pushes: mpsc::UnboundedSender<PushInfo>) -> Self {
        match self {
            Self::Node(node) => Self::Node(Arc::new(node.anew().telling(pushes))),
            Self::Cluster(cluster) => Self::Cluster(cluster.telling(pushes)),
        }
    }

    /// The primary, or all of a Cluster.
    pub(super) async fn primaries(&self) -> RedisResult<Vec<Arc<Node>>> {
        match self {
            Self::Node(node) => Ok(vec![Arc::clone(node)]),
            Self::Cluster(cluster) => cluster.primaries().await,
        }
    }

    /// Which node has the key, by its number; all keys are one node's where there is one.
    pub(super) fn number_of(&self, key: &[u8]) -> usize {
        match self {
            Self::Node(_) => 0,
            Self::Cluster(cluster) => cluster.number_of(key),
        }
    }

    /// A command that is no script.
    pub(super) async fn run_plain(&self, key: &[u8], command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Node(node) => node.run_one(command).await,
            Self::Cluster(cluster) => cluster.run_one(KeyedCommand { key, command }).await,
        }
    }

    pub(super) async fn run_one(&self, command: &Command, acknowledgement: Acknowledgement) -> Outcome {
        let mut answer = self.send_one(command, command.evalsha(), acknowledgement).await;
        if answer.as_ref().is_err_and(is_unknown_script) {
            answer = self.send_one(command, &command.eval(), acknowledgement).await;
        }
        answer.map_err(|error| store_error(&error))
    }

    async fn send_one(&self, command: &Command, cmd: &Cmd, acknowledgement: Acknowledgement) -> RedisResult<Answered> {
        let key = command.key();
        if !acknowledgement.is_asked_for() {
            return self.run_plain(key, cmd).await.map(Answered::plainly);
        }
        let (value, acknowledged) = match self {
            Self::Node(node) => {
                let (mut values, acknowledged) = node.run_acknowledged(&[cmd], false, acknowledgement).await?;
                (values.pop().unwrap_or_default().extract_error()?, acknowledged)
            }
            Self::Cluster(cluster) => {
                cluster.run_acknowledged(KeyedCommand { key, command: cmd }, acknowledgement).await?
            }
        };
        Ok(self.acknowledged(command, value, acknowledgement.refusal(&acknowledged)))
    }

    fn acknowledged(&self, command: &Command, value: Value, refusal: Option<StoreError>) -> Answered {
        if refusal.is_some() {
            // A primary that its replicas have left may have been replaced.
            match self {
                Self::Node(node) => node.look_anew(),
                Self::Cluster(cluster) => cluster.refresh_soon(),
            }
        }
        Answered { unacknowledged: refusal.filter(|_| command.promises(&value)), value }
    }

    /// An answer for each command, in one pipeline for each node with one acknowledgement for all; none for those that
    /// are to be sent by themselves.
    pub(super) async fn run_many(
        &self,
        commands: &[&Command],
        acknowledgement: Acknowledgement,
    ) -> Vec<Option<Outcome>> {
        // A connection sends all of them without waiting for an answer.
        if !acknowledgement.is_asked_for() {
            return commands.iter().map(|_| None).collect();
        }
        let all: Vec<_> = (0..commands.len()).collect();
        let mut answers: Vec<_> = commands.iter().map(|_| None).collect();
        let unknown = self.send_many(commands, &all, false, acknowledgement, &mut answers).await;
        // All scripts of a batch are unknown at once: after a restart, or on a replica that was promoted.
        if !unknown.is_empty() {
            self.send_many(commands, &unknown, true, acknowledgement, &mut answers).await;
        }
        answers.into_iter().map(|answer| answer.map(|answer| answer.map_err(|error| store_error(&error)))).collect()
    }

    /// Those of these numbers, by their names or with their texts; whose script is unknown is returned.
    async fn send_many(
        &self,
        commands: &[&Command],
        numbers: &[usize],
        with_text: bool,
        acknowledgement: Acknowledgement,
        answers: &mut [Option<RedisResult<Answered>>],
    ) -> Vec<usize> {
        let texts: Vec<_> = numbers.iter().filter(|_| with_text).map(|number| commands[*number].eval()).collect();
        let cmds = numbers.iter().enumerate().map(|(nth, number)| KeyedCommand {
            key: commands[*number].key(),
            command: texts.get(nth).unwrap_or_else(|| commands[*number].evalsha()),
        });
        let cmds: Vec<_> = cmds.collect();
        let sent = match self {
            Self::Node(node) => {
                let cmds: Vec<_> = cmds.iter().map(|cmd| cmd.command).collect();
                match node.run_acknowledged(&cmds, false, acknowledgement).await {
                    Ok((values, acknowledged)) => {
                        let answer = |value: Value| value.extract_error().map(|value| (value, acknowledged.clone()));
                        values.into_iter().map(|value| Some(answer(value))).collect()
                    }
                    Err(error) => cmds.iter().map(|_| Some(Err(error.clone()))).collect(),
                }
            }
            Self::Cluster(cluster) => cluster.run_together(&cmds, acknowledgement).await,
        };
        let mut unknown = Vec::new();
        for (number, sent) in numbers.iter().copied().zip(sent) {
            answers[number] = match sent {
                Some(Err(error)) if is_unknown_script(&error) && !with_text => {
                    unknown.push(number);
                    None
                }
                sent => sent.map(|sent| {
                    let (value, acknowledged) = sent?;
                    Ok(self.acknowledged(commands[number], value, acknowledgement.refusal(&acknowledged)))
                }),
            };
        }
        unknown
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node(_) => "Node",
            Self::Cluster(_) => "Cluster",
        })
    }
}
