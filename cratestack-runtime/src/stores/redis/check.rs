//! Whether the servers are what a store needs: each answers the questions of `cratestack_schema::redis`.

use cratestack_schema::redis::{ServerAnswer, ServerAnswers, ServerNeeds, ServerReport};
use redis::{AsyncConnectionConfig, Cmd, RedisError, RedisResult, Value};

use super::error::store_error;
use super::keyspace::Keyspace;
use super::node::{CONNECT_TIMEOUT, Node, RESPONSE_TIMEOUT};
use super::server::Server;
use crate::store::StoreError;

pub(super) async fn check(keyspace: &Keyspace) -> Result<ServerReport, StoreError> {
    let acknowledgement = keyspace.acknowledgement;
    let needs = match &*keyspace.server {
        Server::Node(node) if node.is_behind_sentinel() => ServerNeeds::sentinel(),
        Server::Node(_) => ServerNeeds::single(),
        Server::Cluster(_) => ServerNeeds::cluster(),
    };
    let needs = needs.acknowledged_by(acknowledgement.replicas).synced_to_disk(acknowledgement.synced);
    let questions = needs.questions(&keyspace.prefix);
    let answers = ask_each(&keyspace.server, &questions).await.map_err(|error| store_error(&error))?;
    Ok(ServerReport::new(&keyspace.prefix, needs, &answers))
}

async fn ask_each(server: &Server, questions: &[Vec<String>]) -> RedisResult<Vec<ServerAnswers>> {
    let mut answers = Vec::new();
    for primary in server.primaries().await? {
        answers.push(ask_node(&primary, questions).await?);
    }
    Ok(answers)
}

/// On a connection of its own: the last questions leave it to listen.
async fn ask_node(node: &Node, questions: &[Vec<String>]) -> RedisResult<ServerAnswers> {
    let client = node.client().await?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let info = client.get_connection_info();
    let mut answers = Vec::with_capacity(questions.len());
    for words in questions {
        answers.push(match answer(connection.send_packed_command(&command(words)).await)? {
            // Who may not ask who he is, is whom the client names.
            ServerAnswer::Error(_) if words[0] == "ACL" => {
                ServerAnswer::Text(info.redis_settings().username().unwrap_or("default").to_owned())
            }
            answer => answer,
        });
    }
    Ok(ServerAnswers::new(info.addr().to_string(), answers))
}

fn command(words: &[String]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(word);
    }
    command
}

/// An error that the server gives is an answer; one of the connection is none.
fn answer(answered: RedisResult<Value>) -> RedisResult<ServerAnswer> {
    match answered.and_then(Value::extract_error) {
        Ok(Value::Array(parts)) => Ok(ServerAnswer::List(parts.iter().map(text).collect())),
        Ok(Value::Map(pairs)) => {
            Ok(ServerAnswer::List(pairs.iter().flat_map(|(name, value)| [text(name), text(value)]).collect()))
        }
        Ok(value) => Ok(ServerAnswer::Text(text(&value))),
        Err(error) if error.code().is_some() => Ok(ServerAnswer::Error(spelled(&error))),
        Err(error) => Err(error),
    }
}

fn spelled(error: &RedisError) -> String {
    [error.code(), error.detail()].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A text or a number; of anything else nothing.
fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Okay => "OK".to_owned(),
        _ => String::new(),
    }
}
