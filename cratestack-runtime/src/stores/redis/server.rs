//! What the scripts run on: one node or a Cluster, with or without acknowledgements.

use std::fmt;

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, RedisError, ServerErrorKind, Value};

use super::acknowledgement::Acknowledgement;
use super::cluster::Cluster;
use super::command::Command;
use super::error::store_error;
use super::node::Node;
use super::script::{ON_A_CLUSTER, ON_A_NODE, WakingScripts};
use crate::store::StoreError;

pub(super) enum Server {
    Node(Node),
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

    pub(super) async fn run_one(&self, command: &Command, acknowledgement: Acknowledgement) -> Outcome {
        let mut answer = self.send_one(command, command.evalsha(), acknowledgement).await;
        if answer.as_ref().is_err_and(is_unknown_script) {
            answer = self.send_one(command, &command.eval(), acknowledgement).await;
        }
        answer.map_err(|error| store_error(&error))
    }

    async fn send_one(
        &self,
        command: &Command,
        cmd: &Cmd,
        acknowledgement: Acknowledgement,
    ) -> Result<Answered, RedisError> {
        if !acknowledgement.is_asked_for() {
            return match self {
                Self::Node(node) => node.run_one(cmd).await,
                Self::Cluster(cluster) => cluster.run_one(cmd).await,
            }
            .map(Answered::plainly);
        }
        let (value, acknowledged) = match self {
            Self::Node(node) => {
                let (mut values, acknowledged) =
                    node.run_acknowledged(std::slice::from_ref(cmd), acknowledgement).await?;
                (values.pop().unwrap_or_default(), acknowledged)
            }
            Self::Cluster(cluster) => cluster.run_acknowledged(cmd.clone(), acknowledgement).await?,
        };
        let value = value.extract_error()?;
        Ok(self.acknowledged(command, value, acknowledgement.refusal(&acknowledged)))
    }

    fn acknowledged(&self, command: &Command, value: Value, refusal: Option<StoreError>) -> Answered {
        if refusal.is_some()
            && let Self::Node(node) = self
        {
            // A primary that its replicas have left may have been replaced.
            node.look_anew();
        }
        Answered { unacknowledged: refusal.filter(|_| command.promises(&value)), value }
    }

    /// An answer for each command.
    pub(super) async fn run_many(&self, commands: &[&Command], acknowledgement: Acknowledgement) -> Vec<Outcome> {
        match self {
            Self::Cluster(_) => join_all(commands.iter().map(|command| self.run_one(command, acknowledgement))).await,
            Self::Node(node) => match self.send_many(node, commands, acknowledgement).await {
                Ok(answers) => answers,
                Err(error) => commands.iter().map(|_| Err(store_error(&error))).collect(),
            },
        }
    }

    async fn send_many(
        &self,
        node: &Node,
        commands: &[&Command],
        acknowledgement: Acknowledgement,
    ) -> Result<Vec<Outcome>, RedisError> {
        let (values, refusal) = if acknowledgement.is_asked_for() {
            let cmds: Vec<_> = commands.iter().map(|command| command.evalsha().clone()).collect();
            let (values, acknowledged) = node.run_acknowledged(&cmds, acknowledgement).await?;
            (values, acknowledgement.refusal(&acknowledged))
        } else {
            let mut pipeline = Pipeline::with_capacity(commands.len());
            for command in commands {
                pipeline.add_command(command.evalsha().clone());
            }
            (node.run_many(&pipeline, commands.len()).await?, None)
        };
        let mut answers = Vec::with_capacity(commands.len());
        for (command, value) in commands.iter().zip(values) {
            answers.push(match value.extract_error() {
                Ok(value) => Ok(self.acknowledged(command, value, refusal.clone())),
                // All scripts of a batch are unknown at once: after a restart, or on a replica that was promoted.
                Err(error) if is_unknown_script(&error) => self.run_one(command, acknowledgement).await,
                Err(error) => Err(store_error(&error)),
            });
        }
        Ok(answers)
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
