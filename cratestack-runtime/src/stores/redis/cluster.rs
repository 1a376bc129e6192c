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

use redis::aio::ConnectionLike as _;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, ErrorKind, Pipeline, ProtocolVersion, RedisError, RedisResult, Value};
use tokio::sync::OnceCell;

use super::acknowledgement::Acknowledgement;
use super::node::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT};

/// How often a call is sent anew: to where its slot has moved, or once a node has come back or been replaced.
const RETRIES: u32 = 8;

pub(super) struct Cluster {
    pub(super) client: ClusterClient,
    connection: OnceCell<ClusterConnection>,
    acknowledging: OnceCell<ClusterConnection>,
}

impl Cluster {
    pub(super) fn new(builder: ClusterClientBuilder) -> RedisResult<Self> {
        let client = builder
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(RESPONSE_TIMEOUT)
            .overall_response_timeout(Some(2 * RESPONSE_TIMEOUT))
            .retries(RETRIES)
            .build()?;
        Ok(Self { client, connection: OnceCell::new(), acknowledging: OnceCell::new() })
    }

    async fn connection(&self) -> RedisResult<ClusterConnection> {
        self.connection.get_or_try_init(|| self.client.get_async_connection()).await.cloned()
    }

    pub(super) async fn run_one(&self, command: &Cmd) -> RedisResult<Value> {
        self.connection().await?.req_packed_command(command).await?.extract_error()
    }

    pub(super) async fn run_acknowledged(
        &self,
        command: Cmd,
        acknowledgement: Acknowledgement,
    ) -> RedisResult<(Value, Value)> {
        let mut connection = self.acknowledging.get_or_try_init(|| self.client.get_async_connection()).await?.clone();
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command).add_command(acknowledgement.command());
        // The route is that of the script: `WAIT` alone would have none.
        let answers = connection.req_packed_commands(&pipeline, 0, 2).await?;
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
        match self.connection().await?.route_command(command.clone(), everywhere).await?.extract_error()? {
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
        let Some((host, port)) = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)))
        else {
            return Err(RedisError::from((ErrorKind::Client, "no address of a node", address.to_owned())));
        };
        let node = SingleNodeRoutingInfo::ByAddress { host: host.to_owned(), port };
        self.connection().await?.route_command(command, RoutingInfo::SingleNode(node)).await?.extract_error()
    }
}
