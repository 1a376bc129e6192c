//! Whether the servers are what a store needs: each answers the questions of `cratestack_schema::redis`.

use cratestack_schema::redis::{ServerAnswer, ServerAnswers, ServerNeeds, ServerReport};
use redis::cluster::ClusterConfig;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::RoutingInfo;
use redis::{AsyncConnectionConfig, Cmd, RedisError, RedisResult, Value};

use super::cluster::{Cluster, node_at};
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
    let answers = match &*keyspace.server {
        Server::Node(node) => ask_node(node, &questions).await.map(|answers| vec![answers]),
        Server::Cluster(cluster) => ask_cluster(cluster, &questions).await,
    };
    Ok(ServerReport::new(&keyspace.prefix, needs, &answers.map_err(|error| store_error(&error))?))
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

async fn ask_cluster(cluster: &Cluster, questions: &[Vec<String>]) -> RedisResult<Vec<ServerAnswers>> {
    let (pushes, _inbox) = tokio::sync::mpsc::unbounded_channel();
    let config = ClusterConfig::new().set_push_sender(pushes);
    let mut connection = cluster.client.get_async_connection_with_config(config).await?;
    let mut servers = Vec::new();
    for (address, _) in cluster.ask_primaries(&redis::cmd("PING")).await? {
        let mut answers = Vec::with_capacity(questions.len());
        for words in questions {
            let answered = if let Some(done) = listening(&mut connection, words).await {
                done.map(|()| Value::Okay)
            } else {
                let node = RoutingInfo::SingleNode(node_at(&address)?);
                connection.route_command(command(words), node).await
            };
            answers.push(answer(answered)?);
        }
        servers.push(ServerAnswers::new(address, answers));
    }
    Ok(servers)
}

/// The client answers these itself, of the node that has the channel.
async fn listening(connection: &mut ClusterConnection, words: &[String]) -> Option<RedisResult<()>> {
    let channel = words.get(1)?;
    Some(match words[0].as_str() {
        "SUBSCRIBE" => connection.subscribe(channel).await,
        "UNSUBSCRIBE" => connection.unsubscribe(channel).await,
        "SSUBSCRIBE" => connection.ssubscribe(channel).await,
        "SUNSUBSCRIBE" => connection.sunsubscribe(channel).await,
        _ => return None,
    })
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
