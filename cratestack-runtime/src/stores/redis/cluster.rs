//! A Cluster: the client's connection knows which node has a key, and follows it when it moves.
//!
//! Each call has a connection of its own for as long as it is on its way: the client's connection can stop for good where
//! two calls meet a slot that has moved (it refreshes its slots under a lock, and meanwhile does not poll those who wait
//! for that lock).
//!
//! ```text
//! call A │ connection 1: sends to node 1 ──────────── answer
//! call B │ connection 2: sends to node 2 ── MOVED ── asks for the slots ── sends to node 3 ── answer
//! call C │     waits for a connection, where so many are busy ── sends
//! ```
//!
//! An acknowledgement (`WAIT`) is of its own connection's node and writes, so it travels with its script in a pipeline of
//! two, which is redirected as a whole.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::aio::ConnectionLike as _;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, ErrorKind, Pipeline, ProtocolVersion, RedisError, RedisResult, Value};
use tokio::sync::Semaphore;

use super::acknowledgement::Acknowledgement;
use super::node::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT};
use crate::util;

/// So many calls are on their way at once, each on a connection of its own.
const MAX_CONNECTIONS: usize = 32;

/// A call takes less, also where it is sent to another node after the first.
const STALLED_AFTER: Duration = Duration::from_secs(2);
/// Those that wait for replicas and disks may take longer, see `acknowledgement`.
const ACKNOWLEDGED_STALLED_AFTER: Duration = Duration::from_secs(5);

/// How often a call is sent anew: to where its slot has moved, or once a node has come back or been replaced.
const RETRIES: u32 = 8;

pub(super) struct Cluster {
    pub(super) client: ClusterClient,
    calls: Connections,
    acknowledged: Connections,
}

/// Connections to all nodes, each of which has one call on its way.
struct Connections {
    idle: Mutex<Vec<ClusterConnection>>,
    permits: Semaphore,
    /// A connection that does not answer for this long is given up.
    stalled_after: Duration,
}

impl Connections {
    fn new(stalled_after: Duration) -> Self {
        Self { idle: Mutex::default(), permits: Semaphore::new(MAX_CONNECTIONS), stalled_after }
    }

    /// A connection that does not answer is given up, and the call is made once more on a new one, which asks the nodes
    /// who has which slot: the client stays with a primary that is silent, though its replica has been promoted.
    async fn ask<'a, T>(
        &self,
        client: &ClusterClient,
        ask: impl Fn(ClusterConnection) -> BoxFuture<'a, RedisResult<T>> + Send,
    ) -> RedisResult<T> {
        // Nobody closes it.
        let _permit = self.permits.acquire().await.ok();
        let mut is_last = false;
        loop {
            let kept = util::lock(&self.idle).pop().filter(|_| !is_last);
            let connection = match kept {
                Some(connection) => connection,
                None => Box::pin(client.get_async_connection()).await?,
            };
            match tokio::time::timeout(self.stalled_after, ask(connection.clone())).await {
                Ok(answer) => {
                    if !answer.as_ref().is_err_and(RedisError::is_timeout) {
                        util::lock(&self.idle).push(connection);
                    }
                    return answer;
                }
                Err(_) if is_last => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                Err(_) => is_last = true,
            }
        }
    }
}

impl Cluster {
    pub(super) fn new(builder: ClusterClientBuilder) -> RedisResult<Self> {
        let client = builder
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(RESPONSE_TIMEOUT)
            // Longer than one answer, as a node that does not answer is noticed by that.
            .overall_response_timeout(Some(RESPONSE_TIMEOUT + CONNECT_TIMEOUT))
            .retries(RETRIES)
            .build()?;
        Ok(Self::over(client))
    }

    fn over(client: ClusterClient) -> Self {
        Self {
            client,
            calls: Connections::new(STALLED_AFTER),
            acknowledged: Connections::new(ACKNOWLEDGED_STALLED_AFTER),
        }
    }

    /// The same Cluster, and nothing else in common.
    #[cfg(feature = "testing")]
    pub(super) fn of_another_process(&self) -> Self {
        Self::over(self.client.clone())
    }

    pub(super) async fn run_one(&self, command: &Cmd) -> RedisResult<Value> {
        let ask =
            |mut connection: ClusterConnection| async move { connection.req_packed_command(command).await }.boxed();
        self.calls.ask(&self.client, ask).await?.extract_error()
    }

    async fn route(&self, command: Cmd, route: RoutingInfo) -> RedisResult<Value> {
        let (command, route) = (&command, &route);
        let ask = |mut connection: ClusterConnection| {
            async move { connection.route_command(command.clone(), route.clone()).await }.boxed()
        };
        self.calls.ask(&self.client, ask).await?.extract_error()
    }

    pub(super) async fn run_acknowledged(
        &self,
        command: Cmd,
        acknowledgement: Acknowledgement,
    ) -> RedisResult<(Value, Value)> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command).add_command(acknowledgement.command());
        // The route is that of the script: `WAIT` alone would have none.
        let pipeline = &pipeline;
        let ask = |mut connection: ClusterConnection| {
            async move { connection.req_packed_commands(pipeline, 0, 2).await }.boxed()
        };
        let answers = self.acknowledged.ask(&self.client, ask).await?;
        match <[Value; 2]>::try_from(answers) {
            Ok([answer, acknowledged]) => Ok((answer, acknowledged)),
            Err(answers) => Err(RedisError::from((
                ErrorKind::UnexpectedReturnType,
                "a pipeline of two was answered otherwise",
                format!("{answers:?}"),
            ))),
        }
    }

    /// What each primary answers, by its address.
    pub(super) async fn ask_primaries(&self, command: &Cmd) -> RedisResult<Vec<(String, Value)>> {
        let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::Special)));
        match self.route(command.clone(), everywhere).await? {
            Value::Map(answers) => {
                answers.into_iter().map(|(address, answer)| Ok((redis::from_redis_value(address)?, answer))).collect()
            }
            other => Err(RedisError::from((
                ErrorKind::UnexpectedReturnType,
                "a command to all primaries was not answered by address",
                format!("{other:?}"),
            ))),
        }
    }

    pub(super) async fn ask_node(&self, address: &str, command: Cmd) -> RedisResult<Value> {
        let node = RoutingInfo::SingleNode(node_at(address)?);
        self.route(command, node).await
    }
}

pub(super) fn node_at(address: &str) -> RedisResult<SingleNodeRoutingInfo> {
    match address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => Ok(SingleNodeRoutingInfo::ByAddress { host: host.to_owned(), port }),
        None => Err(RedisError::from((ErrorKind::Client, "no address of a node", address.to_owned()))),
    }
}
