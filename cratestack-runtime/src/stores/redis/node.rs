//! One node, alone or found by Sentinel: a connection that everybody shares, and those that acknowledgements wait on.
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

use std::sync::Mutex;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult, Value};

use super::acknowledgement::Acknowledgement;
use crate::util;

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take. A connection on which one takes longer is given up.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a call is sent whose connection breaks.
const MAX_ATTEMPTS: u32 = 2;

/// So many connections for acknowledgements are kept while nobody uses them.
const MAX_IDLE: usize = 16;

pub(super) struct Node {
    source: Source,
    shared: Mutex<Option<Shared>>,
    /// Who connects; the others wait for that.
    connecting: tokio::sync::Mutex<u64>,
    idle: Mutex<Vec<MultiplexedConnection>>,
}

enum Source {
    Client(Client),
    Sentinel(tokio::sync::Mutex<SentinelClient>),
}

#[derive(Clone)]
struct Shared {
    number: u64,
    connection: MultiplexedConnection,
}

impl Node {
    pub(super) fn new(client: Client) -> Self {
        Self::over(Source::Client(client))
    }

    pub(super) fn behind_sentinel(client: SentinelClient) -> Self {
        Self::over(Source::Sentinel(tokio::sync::Mutex::new(client)))
    }

    fn over(source: Source) -> Self {
        Self { source, shared: Mutex::default(), connecting: tokio::sync::Mutex::default(), idle: Mutex::default() }
    }

    /// Of the node that is the primary.
    pub(super) async fn client(&self) -> RedisResult<Client> {
        match &self.source {
            Source::Client(client) => Ok(client.clone()),
            Source::Sentinel(sentinel) => sentinel.lock().await.async_get_client().await,
        }
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        // Boxed, as it is seldom needed, and large.
        Box::pin(async { self.client().await?.get_multiplexed_async_connection_with_config(&config).await }).await
    }

    fn current(&self) -> Option<Shared> {
        util::lock(&self.shared).clone()
    }

    async fn shared(&self) -> RedisResult<Shared> {
        if let Some(shared) = self.current() {
            return Ok(shared);
        }
        let mut last_number = self.connecting.lock().await;
        if let Some(shared) = self.current() {
            return Ok(shared);
        }
        let connection = self.connect().await?;
        *last_number += 1;
        let shared = Shared { number: *last_number, connection };
        *util::lock(&self.shared) = Some(shared.clone());
        Ok(shared)
    }

    /// Asks who the primary is before anything else is sent.
    pub(super) fn look_anew(&self) {
        util::lock(&self.idle).clear();
        if let Source::Sentinel(_) = self.source {
            *util::lock(&self.shared) = None;
        }
    }

    /// Where somebody else has not done so since.
    fn give_up(&self, number: u64) {
        util::lock(&self.shared).take_if(|shared| shared.number == number);
    }

    pub(super) async fn run_one(&self, command: &redis::Cmd) -> RedisResult<Value> {
        let mut attempts = 1;
        loop {
            let shared = self.shared().await?;
            let error = match shared.connection.clone().send_packed_command(command).await {
                Ok(Value::ServerError(error)) => RedisError::from(error),
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if is_of_the_connection(&error) {
                self.give_up(shared.number);
            }
            if attempts == MAX_ATTEMPTS || !can_be_sent_again(&error) {
                return Err(error);
            }
            attempts += 1;
        }
    }

    /// The answers, each of which may be an error of the server's.
    pub(super) async fn run_many(&self, pipeline: &Pipeline, count: usize) -> RedisResult<Vec<Value>> {
        let mut attempts = 1;
        loop {
            let shared = self.shared().await?;
            let answers = shared.connection.clone().send_packed_commands(pipeline, 0, count).await;
            let Some(error) = error_in(&answers) else { return answers };
            if is_of_the_connection(&error) {
                self.give_up(shared.number);
            }
            if attempts == MAX_ATTEMPTS || !can_be_sent_again(&error) {
                return answers;
            }
            attempts += 1;
        }
    }

    /// The same on a connection of its own, and what came of the acknowledgement that follows.
    ///
    /// Where a connection is new, `WAIT` has waited for what this pipeline has written on it, and for nothing else: a
    /// pipeline is written to one connection as a whole.
    pub(super) async fn run_acknowledged(
        &self,
        commands: &[redis::Cmd],
        acknowledgement: Acknowledgement,
    ) -> RedisResult<(Vec<Value>, Value)> {
        let mut pipeline = Pipeline::with_capacity(commands.len() + 1);
        for command in commands {
            pipeline.add_command(command.clone());
        }
        pipeline.add_command(acknowledgement.command());
        let mut attempts = 1;
        loop {
            let kept = util::lock(&self.idle).pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let answers = connection.send_packed_commands(&pipeline, 0, commands.len() + 1).await;
            let error = error_in(&answers);
            match &error {
                Some(error) if is_of_the_connection(error) => util::lock(&self.idle).clear(),
                _ => self.keep(connection),
            }
            match error {
                Some(error) if attempts < MAX_ATTEMPTS && can_be_sent_again(&error) => attempts += 1,
                _ => {
                    let mut answers = answers?;
                    let acknowledged = answers.pop().unwrap_or_default();
                    return Ok((answers, acknowledged));
                }
            }
        }
    }

    fn keep(&self, connection: MultiplexedConnection) {
        let mut idle = util::lock(&self.idle);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
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
    error.is_io_error() || error.is_unrecoverable_error() || error.code() == Some("READONLY")
}

/// Each script finds what it has written itself. Where a server does not answer, it would not do so twice.
fn can_be_sent_again(error: &RedisError) -> bool {
    is_of_the_connection(error) && !error.is_timeout() && !error.is_connection_refusal()
}
