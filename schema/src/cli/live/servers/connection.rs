//! Connections to one server, or to each primary of a Cluster.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, Value};

use super::arguments::Servers;
use super::error::spelled;
use super::url::Place;
use crate::output::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is busy with others may take its time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to one server.
pub struct Node {
    place: Place,
    connection: MultiplexedConnection,
}

/// Connections to all that hold records.
pub struct Nodes {
    pub is_cluster: bool,
    pub nodes: Vec<Node>,
}

impl Servers {
    /// Connects to the server, or to each primary of the Cluster that several URLs are nodes of.
    pub async fn connect(&self) -> Result<Nodes, Failure> {
        let places = self.places()?;
        if let Some(place) = places.iter().find(|place| place.is_in_the_open()) {
            eprintln!(
                "warning: the connection to {} is not encrypted: whoever is in between reads the password and what the \
                 command reads; rediss:// encrypts it",
                place.address()
            );
        }
        if let [place] = &places[..] {
            return Ok(Nodes { is_cluster: false, nodes: vec![Node::connect(place).await?] });
        }
        let mut seed = Err(Failure::of("--redis-url", "give a URL"));
        for place in &places {
            // Some of the nodes may be gone.
            seed = Node::connect(place).await;
            if seed.is_ok() {
                break;
            }
        }
        let mut seed = seed?;
        let primaries = seed.primaries().await?;
        let mut nodes = Vec::new();
        for place in primaries {
            nodes.push(Node::connect(&place).await?);
        }
        if nodes.is_empty() {
            nodes.push(seed);
        }
        Ok(Nodes { is_cluster: true, nodes })
    }
}

impl Node {
    async fn connect(place: &Place) -> Result<Self, Failure> {
        let refused = |error: &RedisError| {
            Failure::of("--redis-url", format!("{}: {}", place.address(), place.secrets.describe(error)))
        };
        let client = Client::open(place.info.clone()).map_err(|error| refused(&error))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let connection =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(|error| refused(&error))?;
        Ok(Self { place: place.clone(), connection })
    }

    /// Where it is, for people.
    pub fn address(&self) -> String {
        self.place.address()
    }

    /// Who is connected, as the URL has it.
    pub fn user(&self) -> String {
        self.place.info.redis_settings().username().unwrap_or("default").to_owned()
    }

    /// What the server answers; in the inner result its own error, as it spells it.
    pub async fn ask(&mut self, words: &[String]) -> Result<Result<Value, String>, Failure> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        match self.connection.send_packed_command(&command).await {
            Ok(Value::ServerError(error)) => Ok(Err(self.place.secrets.hide(&spelled(&error.into())))),
            Ok(value) => Ok(Ok(value)),
            Err(error) if error.code().is_some() => Ok(Err(self.place.secrets.hide(&spelled(&error)))),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// What the server answers to each of many, errors among it.
    pub async fn ask_all(&mut self, pipeline: &mut Pipeline) -> Result<Vec<Result<Value, RedisError>>, Failure> {
        let done = pipeline.ignore_errors().query_async(&mut self.connection).await;
        done.map_err(|error: RedisError| self.failure(&error))
    }

    pub fn failure(&self, error: &RedisError) -> Failure {
        let text = self.place.secrets.describe(error);
        let hint = if text.contains("NOPERM") { "; `check` says which rights are missing" } else { "" };
        Failure::of(&self.address(), format!("{text}{hint}"))
    }

    /// Where the primaries of its Cluster are; none where it belongs to no Cluster, or does not tell.
    async fn primaries(&mut self) -> Result<Vec<Place>, Failure> {
        let Ok(Value::Array(ranges)) = self.ask(&["CLUSTER".to_owned(), "SLOTS".to_owned()]).await? else {
            return Ok(Vec::new());
        };
        let mut places: Vec<Place> = Vec::new();
        for range in ranges {
            // First and last slot, its primary, its replicas.
            let Value::Array(range) = range else { continue };
            let Some(Value::Array(primary)) = range.into_iter().nth(2) else { continue };
            let [host, Value::Int(port), ..] = &primary[..] else { continue };
            // One that does not know its own name is where it was reached.
            let host = text(host).filter(|host| !host.is_empty() && host != "?");
            let Ok(port) = u16::try_from(*port) else { continue };
            let place = self.place.at(host.as_deref().unwrap_or(self.place.host()), port);
            if !places.iter().any(|other| other.address() == place.address()) {
                places.push(place);
            }
        }
        places.sort_by_key(Place::address);
        Ok(places)
    }
}

/// A text or a number.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Okay => Some("OK".to_owned()),
        _ => None,
    }
}
