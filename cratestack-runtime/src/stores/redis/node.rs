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

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::Semaphore;

use super::acknowledgement::Acknowledgement;
use super::error::code;
use super::shared::{Numbered, Shared};
use crate::util;

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take. A connection on which one takes longer is given up.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a call is sent whose connection breaks.
const MAX_ATTEMPTS: u32 = 2;

/// So many connections wait for acknowledgements at once.
const MAX_WAITING: usize = 128;

/// So many connections for acknowledgements are kept while nobody uses them.
const MAX_IDLE: usize = 16;

pub(super) struct Node {
    source: Source,
    shared: Shared<MultiplexedConnection>,
    idle: Mutex<Vec<MultiplexedConnection>>,
    waiting: Semaphore,
}

#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "a store has one")]
enum Source {
    Client(Client),
    Sentinel(Arc<tokio::sync::Mutex<SentinelClient>>),
}

impl Node {
    pub(super) fn new(client: Client) -> Self {
        Self::over(Source::Client(client))
    }

    pub(super) fn behind_sentinel(client: SentinelClient) -> Self {
        Self::over(Source::Sentinel(Arc::new(tokio::sync::Mutex::new(client))))
    }

    fn over(source: Source) -> Self {
        Self { source, shared: Shared::default(), idle: Mutex::default(), waiting: Semaphore::new(MAX_WAITING) }
    }

    /// The same node, and nothing else in common.
    #[cfg(feature = "testing")]
    pub(super) fn of_another_process(&self) -> Self {
        Self::over(self.source.clone())
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
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        // Boxed, as it is seldom needed, and large.
        Box::pin(async { self.client().await?.get_multiplexed_async_connection_with_config(&config).await }).await
    }

    async fn shared(&self) -> RedisResult<Numbered<MultiplexedConnection>> {
        self.shared.get(self.connect()).await
    }

    /// Asks who the primary is before anything else is sent.
    pub(super) fn look_anew(&self) {
        if self.is_behind_sentinel() {
            util::lock(&self.idle).clear();
            self.shared.clear();
        }
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
                self.shared.give_up(shared.number);
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
                self.shared.give_up(shared.number);
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
        // Nobody closes it.
        let _permit = self.waiting.acquire().await.ok();
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
    error.is_io_error() || error.is_unrecoverable_error() || code(error) == Some("READONLY")
}

/// Each script finds what it has written itself. Where a server does not answer, it would not do so twice.
fn can_be_sent_again(error: &RedisError) -> bool {
    is_of_the_connection(error) && !error.is_timeout() && !error.is_connection_refusal()
}
