//! One node, alone, found by Sentinel, or of a Cluster: a connection that everybody shares, and those that
//! acknowledgements wait on.
//!
//! ```text
//! call A │ sends ──────── answer
//! call B │    sends ──────── answer          (one connection; the server answers in order)
//!        │                 the connection breaks
//! call C │ sends ── lost; connects anew ── sends again: the script finds its own token, or writes it
//! call D │            waits for the same connection ── sends
//! ```
//!
//! An acknowledgement (`WAIT`) is about what its own connection has written, and holds that connection up until the
//! replicas have answered. So it follows the scripts in one pipeline, on a connection that has nothing else to do:
//!
//! ```text
//! batch 1 │ EVALSHA, EVALSHA, WAIT 1 ──────── 0, 0, 1 replica
//! batch 2 │     EVALSHA, WAIT 1 ──────── 0, 1 replica      (another connection)
//! ```

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::SentinelClient;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, Value,
};
use tokio::sync::{Semaphore, mpsc};

use super::acknowledgement::Acknowledgement;
use super::error::code;
use super::shared::{Numbered, Shared};
use crate::util;

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take. A connection on which one takes longer is given up.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// So many calls wait for a shared connection to write them before further ones wait for those. By default there are few,
/// so that a crowd spends its time on waiting in line.
const MAX_QUEUED: usize = 1024;

/// A connection writes when nobody is left who waits, or when it has so many bytes. The calls of a crowd, each of which has
/// an outcome, are more than it has room for by default.
const WRITE_BYTES: usize = 64 * 1024;

/// How often a call is sent whose connection breaks.
const MAX_ATTEMPTS: u32 = 2;

/// So many connections wait for acknowledgements at once.
const MAX_WAITING: usize = 128;

/// So many connections for acknowledgements are kept while nobody uses them.
const MAX_IDLE: usize = 16;

pub(super) struct Node {
    source: Source,
    response_timeout: Duration,
    /// Where the shared connection's news go, for who listens.
    pushes: Option<mpsc::UnboundedSender<PushInfo>>,
    shared: Shared,
    idle: Mutex<Vec<MultiplexedConnection>>,
    waiting: Semaphore,
}

#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "a node has one")]
enum Source {
    Client(Client),
    Sentinel(Arc<tokio::sync::Mutex<SentinelClient>>),
}

/// What is sent in one go.
#[derive(Clone, Copy)]
enum Message<'a> {
    Command(&'a Cmd),
    /// So many answers come to it.
    Pipeline(&'a Pipeline, usize),
}

/// On which connection.
#[derive(Clone, Copy)]
enum On {
    Shared,
    /// One that has nothing else to do; an answer may take so long.
    Alone(Duration),
}

enum Connection {
    Shared(Numbered),
    Alone(MultiplexedConnection),
}

impl Node {
    pub(super) fn new(client: Client) -> Self {
        Self::over(Source::Client(client), RESPONSE_TIMEOUT)
    }

    pub(super) fn behind_sentinel(client: SentinelClient) -> Self {
        Self::over(Source::Sentinel(Arc::new(tokio::sync::Mutex::new(client))), RESPONSE_TIMEOUT)
    }

    fn over(source: Source, response_timeout: Duration) -> Self {
        Self {
            source,
            response_timeout,
            pushes: None,
            shared: Shared::default(),
            idle: Mutex::default(),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }

    pub(super) fn answering_within(self, response_timeout: Duration) -> Self {
        Self { response_timeout, ..self }
    }

    /// One whose shared connection tells what comes without having been asked for, which takes RESP3.
    pub(super) fn telling(self, pushes: mpsc::UnboundedSender<PushInfo>) -> Self {
        Self { pushes: Some(pushes), ..self }
    }

    /// The same node, and nothing else in common.
    pub(super) fn anew(&self) -> Self {
        Self::over(self.source.clone(), self.response_timeout)
    }

    pub(super) fn is_behind_sentinel(&self) -> bool {
        matches!(self.source, Source::Sentinel(_))
    }

    /// Of the node that is the primary.
    pub(super) async fn client(&self) -> RedisResult<Client> {
        match &self.source {
            Source::Client(client) => Ok(client.clone()),
            Source::Sentinel(sentinel) => sentinel.lock().await.async_get_client().await,
        }
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(self.response_timeout))
            .set_pipeline_buffer_size(MAX_QUEUED)
            .set_write_backpressure_boundary(WRITE_BYTES);
        // Boxed, as it is seldom needed, and large.
        Box::pin(async {
            let mut client = self.client().await?;
            if let Some(pushes) = &self.pushes {
                config = config.set_push_sender(pushes.clone());
                let info = client.get_connection_info().clone();
                let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
                client = Client::open(info.set_redis_settings(settings))?;
            }
            client.get_multiplexed_async_connection_with_config(&config).await
        })
        .await
    }

    /// Asks who the primary is before anything else is sent.
    pub(super) fn look_anew(&self) {
        if self.is_behind_sentinel() {
            util::lock(&self.idle).clear();
            self.shared.clear();
        }
    }

    pub(super) async fn run_one(&self, command: &Cmd) -> RedisResult<Value> {
        last(self.send(Message::Command(command), On::Shared).await?)
    }

    /// The same about a slot that is on its way to this node.
    pub(super) async fn run_asking(&self, command: &Cmd) -> RedisResult<Value> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("ASKING").add_command(command.clone());
        last(self.send(Message::Pipeline(&pipeline, 2), On::Shared).await?)
    }

    /// The same on a connection of its own, and what came of the acknowledgement that follows.
    ///
    /// `WAIT` stands in the pipeline of its scripts, so it is about their connection, also where that was made anew for a
    /// second try.
    pub(super) async fn run_acknowledged(
        &self,
        commands: &[&Cmd],
        is_asking: bool,
        acknowledgement: Acknowledgement,
    ) -> RedisResult<(Vec<Value>, Value)> {
        let mut pipeline = Pipeline::with_capacity(2 * commands.len() + 1);
        for command in commands {
            if is_asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command((*command).clone());
        }
        pipeline.add_command(acknowledgement.command());
        // Nobody closes it.
        let _permit = self.waiting.acquire().await.ok();
        let on = On::Alone(self.response_timeout + acknowledgement.timeout());
        let mut answers = self.send(Message::Pipeline(&pipeline, pipeline.len()), on).await?;
        let acknowledged = answers.pop().unwrap_or_default();
        if is_asking {
            let mut is_of_a_command = false;
            answers.retain(|_| {
                is_of_a_command = !is_of_a_command;
                !is_of_a_command
            });
        }
        Ok((answers, acknowledged))
    }

    /// The answers, each of which may be an error of the server's.
    async fn send(&self, message: Message<'_>, on: On) -> RedisResult<Vec<Value>> {
        let mut attempts = 1;
        loop {
            let mut connection = self.connection(on).await?;
            let answers = connection.send(message).await;
            let error = error_in(&answers);
            self.give_back(connection, error.as_ref());
            match error {
                Some(error) if attempts < MAX_ATTEMPTS && can_be_sent_again(&error) => attempts += 1,
                _ => return answers,
            }
        }
    }

    async fn connection(&self, on: On) -> RedisResult<Connection> {
        let On::Alone(response_timeout) = on else {
            return self.shared.get(self.connect()).await.map(Connection::Shared);
        };
        let kept = util::lock(&self.idle).pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.set_response_timeout(response_timeout);
        Ok(Connection::Alone(connection))
    }

    fn give_back(&self, connection: Connection, error: Option<&RedisError>) {
        let is_usable = !error.is_some_and(is_of_the_connection);
        match connection {
            Connection::Shared(shared) if !is_usable => {
                self.shared.give_up(shared.number);
                // The client tells of a connection that breaks, and of none that is dropped because it is silent.
                if let Some(pushes) = &self.pushes
                    && error.is_some_and(RedisError::is_timeout)
                {
                    let _ = pushes.send(PushInfo { kind: PushKind::Disconnection, data: Vec::new() });
                }
            }
            Connection::Shared(_) => {}
            // The others are to the same server.
            Connection::Alone(_) if !is_usable => util::lock(&self.idle).clear(),
            Connection::Alone(connection) => {
                let mut idle = util::lock(&self.idle);
                if idle.len() < MAX_IDLE {
                    idle.push(connection);
                }
            }
        }
    }
}

impl Connection {
    async fn send(&mut self, message: Message<'_>) -> RedisResult<Vec<Value>> {
        let (Self::Shared(Numbered { connection, .. }) | Self::Alone(connection)) = self;
        match message {
            Message::Command(command) => connection.send_packed_command(command).await.map(|answer| vec![answer]),
            Message::Pipeline(pipeline, count) => connection.send_packed_commands(pipeline, 0, count).await,
        }
    }
}

fn last(mut answers: Vec<Value>) -> RedisResult<Value> {
    match answers.pop() {
        Some(Value::ServerError(error)) => Err(error.into()),
        Some(answer) => Ok(answer),
        None => Err(RedisError::from((ErrorKind::UnexpectedReturnType, "a command was not answered"))),
    }
}

/// The first error that has to do with where the commands were sent.
fn error_in(answers: &RedisResult<Vec<Value>>) -> Option<RedisError> {
    match answers {
        Err(error) => Some(error.clone()),
        Ok(answers) => answers.iter().find_map(|answer| match answer {
            Value::ServerError(error) => {
                let error = RedisError::from(error.clone());
                is_of_the_connection(&error).then_some(error)
            }
            _ => None,
        }),
    }
}

/// Whether what is behind the connection is no longer the primary that answers.
fn is_of_the_connection(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || code(error) == Some("READONLY")
}

/// Each script finds what it has written itself. Where a server does not answer, it would not do so twice.
fn can_be_sent_again(error: &RedisError) -> bool {
    is_of_the_connection(error) && !error.is_timeout() && !error.is_connection_refusal()
}
