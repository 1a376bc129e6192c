//! A Cluster: the client's connection knows which node has a key, and follows it when it moves.
//!
//! Each call is sent at once. Those that go to one node share its connection, and with it their round trips:
//!
//! ```text
//! call A │ sends to node 1 ──────────── answer
//! call B │ sends to node 2 ──────────── answer
//! call C │    sends to node 1 ──────────── answer              (beside A, on the same connection)
//! call D │ sends to node 2 ── MOVED ── sends to node 3 ── answer
//! ```
//!
//! An acknowledgement (`WAIT`) is of its own connection's node and writes, so it travels with its script in a pipeline of
//! two, which is redirected as a whole. These have a connection of their own: `WAIT` holds up what comes behind it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::aio::ConnectionLike as _;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, ErrorKind, Pipeline, ProtocolVersion, RedisError, RedisResult, Value};

use super::acknowledgement::Acknowledgement;
use super::node::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT};
use super::shared::Shared;

/// A node that has a call answers it sooner, but for one that acknowledges, see `acknowledgement`.
const STALLED_AFTER: Duration = Duration::from_secs(1);
const ACKNOWLEDGED_STALLED_AFTER: Duration = Duration::from_secs(4);

/// How often a call is sent anew: to where its slot has moved, or once a node has come back or been replaced.
const RETRIES: u32 = 8;

pub(super) struct Cluster {
    pub(super) client: ClusterClient,
    calls: Link,
    acknowledged: Link,
}

/// A connection to all nodes.
struct Link {
    shared: Shared<ClusterConnection>,
    /// How often it has answered.
    answers: AtomicU64,
    /// Where nothing is answered for this long, another connection is tried.
    stalled_after: Duration,
}

impl Link {
    fn new(stalled_after: Duration) -> Self {
        Self { shared: Shared::default(), answers: AtomicU64::default(), stalled_after }
    }

    /// A connection is given up that answers nothing at all, and the call is made once more on another: the client's own
    /// repair of its connections may wait for what waits for it.
    ///
    /// It is also given up where a call takes too long beside others that are answered: the client stays with a primary
    /// that is silent, though its replica has been promoted, and a new connection asks the nodes who has which slot.
    /// Calls that are on their way go on where they are.
    async fn ask<'a, T>(
        &self,
        client: &ClusterClient,
        ask: impl Fn(ClusterConnection) -> BoxFuture<'a, RedisResult<T>> + Send,
    ) -> RedisResult<T> {
        let mut is_last = false;
        loop {
            let shared = self.shared.get(Box::pin(client.get_async_connection())).await?;
            let mut asking = ask(shared.connection);
            let mut answers = self.answers.load(Ordering::Relaxed);
            let answer = loop {
                if let Ok(answer) = tokio::time::timeout(self.stalled_after, &mut asking).await {
                    break Some(answer);
                }
                let before = std::mem::replace(&mut answers, self.answers.load(Ordering::Relaxed));
                if before == answers && !is_last {
                    break None;
                }
            };
            match answer {
                Some(answer) if !answer.as_ref().is_err_and(RedisError::is_timeout) => {
                    self.answers.fetch_add(1, Ordering::Relaxed);
                    return answer;
                }
                answer => {
                    self.shared.give_up(shared.number);
                    if let Some(timed_out) = answer {
                        return timed_out;
                    }
                    is_last = true;
                }
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
        Self { client, calls: Link::new(STALLED_AFTER), acknowledged: Link::new(ACKNOWLEDGED_STALLED_AFTER) }
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
