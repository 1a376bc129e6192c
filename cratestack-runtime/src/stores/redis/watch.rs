//! How a process learns that a key which another process holds was completed or released.
//!
//! To publish costs the server a look at its subscribers, and on a Cluster a message to every node, so only what somebody
//! waits for is published. A waiter subscribes to the channel of the record's name, then marks the record; whoever ends
//! the record sees the mark in the same script:
//!
//! ```text
//! waiter     │ subscribes ── marks the record ── looks: in flight, sleeps ───────── told: looks: finished
//! completion │                                          writes, finds the mark, publishes ──┘
//!
//! waiter     │ subscribes ──────────────── marks the record: it has ended ── looks: finished
//! completion │      writes, finds no mark
//! ```
//!
//! A message is lost with the connection that it was to come by. The end of a connection is therefore news as well: all
//! who wait look, and watch anew. Where nothing is told at all, the caller's own slow poll sees the end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use redis::aio::{PubSubSink, PubSubStream};
use redis::cluster::ClusterConfig;
use redis::cluster_async::ClusterConnection;
use redis::{PushInfo, PushKind, RedisResult, Value};
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::command::{Command, Kind, ScriptCall};
use super::keyspace::Keyspace;
use super::script::WATCH;
use super::server::Server;
use crate::store::{RecordIdRef, Watch};
use crate::util;

/// A listener that nobody has used for this long gives its connection back.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How many waiters come and go with one command.
const MAX_COMMANDS: usize = 1024;

/// Where nobody can subscribe, nobody tries to for this long.
const SUBSCRIBE_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The call that marks a record; what it comes to does not matter.
pub(super) fn mark(keyspace: &Keyspace, id: RecordIdRef<'_>) -> ScriptCall {
    ScriptCall::new(Command::new(&WATCH, &keyspace.name(id), Kind::Other))
}

/// One listening connection for all the keys that this process waits for; there while somebody waits, and a while longer.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    listener: Mutex<Option<mpsc::UnboundedSender<Request>>>,
    polling_until: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug)]
enum Request {
    Subscribe { channel: String, changed: oneshot::Sender<()>, subscribed: oneshot::Sender<()> },
    Unsubscribe { channel: String },
}

impl Watcher {
    /// Returns once the end of the record will be told, if the record is marked; `None` where nobody can subscribe.
    pub(super) async fn subscribe(&self, keyspace: &Arc<Keyspace>, id: RecordIdRef<'_>) -> Option<Watch> {
        if util::lock(&self.polling_until).is_some_and(|end| Instant::now() < end) {
            return None;
        }
        let channel = keyspace.name(id);
        let (changed, change) = oneshot::channel();
        let (subscribed, is_subscribed) = oneshot::channel();
        let requests = self.send(keyspace, Request::Subscribe { channel: channel.clone(), changed, subscribed });
        let mut subscription = Subscription { channel, change: Some(change), requests };
        is_subscribed.await.ok()?;
        Some(Watch::new(async move {
            if let Some(change) = &mut subscription.change {
                // An error is the end of the connection, which is news as well.
                let _ = change.await;
            }
        }))
    }

    fn send(&self, keyspace: &Arc<Keyspace>, request: Request) -> mpsc::UnboundedSender<Request> {
        let mut listener = util::lock(&self.listener);
        let request = match listener.as_ref() {
            Some(requests) => match requests.send(request) {
                Ok(()) => return requests.clone(),
                Err(mpsc::error::SendError(request)) => request,
            },
            None => request,
        };
        let (requests, inbox) = mpsc::unbounded_channel();
        // The receiver is in hand, so this arrives.
        let _ = requests.send(request);
        let (keyspace, polling_until) = (Arc::clone(keyspace), Arc::clone(&self.polling_until));
        tokio::spawn(async move {
            if let Err(error) = listen(&keyspace, inbox).await {
                debug!(%error, "idempotency waiters poll for a while: they cannot subscribe");
                *util::lock(&polling_until) = Some(Instant::now() + SUBSCRIBE_RETRY_AFTER);
            }
        });
        listener.insert(requests).clone()
    }
}

/// Leaves when it is dropped.
struct Subscription {
    channel: String,
    change: Option<oneshot::Receiver<()>>,
    requests: mpsc::UnboundedSender<Request>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // First, as the listener looks for those whose receiver has gone.
        self.change = None;
        // A listener that is over holds nothing.
        let _ = self.requests.send(Request::Unsubscribe { channel: std::mem::take(&mut self.channel) });
    }
}

/// Ends with its connection, or when nobody has waited for a while. Dropping what it holds tells all who wait.
async fn listen(keyspace: &Keyspace, mut inbox: mpsc::UnboundedReceiver<Request>) -> RedisResult<()> {
    let mut connection = Connection::open(&keyspace.server).await?;
    let mut waiting: HashMap<String, Vec<oneshot::Sender<()>>> = HashMap::new();
    let mut requests = Vec::new();
    loop {
        tokio::select! {
            received = inbox.recv_many(&mut requests, MAX_COMMANDS) => match received {
                0 => return Ok(()),
                _ => follow(&mut connection, &mut waiting, requests.drain(..)).await?,
            },
            news = connection.next() => match news {
                News::Of(channel) => wake(waiting.remove(&channel)),
                News::OfAll => waiting.drain().for_each(|(_, waiting)| wake(Some(waiting))),
                News::End => return Ok(()),
            },
            () = tokio::time::sleep(IDLE_TIMEOUT), if waiting.is_empty() => return Ok(()),
        }
    }
}

async fn follow(
    connection: &mut Connection,
    waiting: &mut HashMap<String, Vec<oneshot::Sender<()>>>,
    requests: impl Iterator<Item = Request>,
) -> RedisResult<()> {
    let (mut subscribing, mut channels, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for request in requests {
        match request {
            Request::Subscribe { channel, changed, subscribed } => {
                let waiters = waiting.entry(channel.clone()).or_default();
                if waiters.is_empty() {
                    channels.push(channel);
                }
                waiters.push(changed);
                subscribing.push(subscribed);
            }
            Request::Unsubscribe { channel } => {
                let waiters = waiting.entry(channel.clone()).or_default();
                waiters.retain(|changed| !changed.is_closed());
                if waiters.is_empty() {
                    waiting.remove(&channel);
                    left.push(channel);
                }
            }
        }
    }
    // Whoever comes after somebody has left is still subscribed to.
    left.retain(|channel| !waiting.contains_key(channel));
    channels.retain(|channel| waiting.contains_key(channel));
    connection.unsubscribe(left).await?;
    connection.subscribe(channels).await?;
    for subscribed in subscribing {
        // Whoever has gone meanwhile leaves by a request of its own.
        let _ = subscribed.send(());
    }
    Ok(())
}

fn wake(waiting: Option<Vec<oneshot::Sender<()>>>) {
    for changed in waiting.into_iter().flatten() {
        let _ = changed.send(());
    }
}

enum News {
    Of(String),
    OfAll,
    End,
}

enum Connection {
    Node(PubSubSink, PubSubStream),
    Cluster(ClusterConnection, mpsc::UnboundedReceiver<PushInfo>),
}

impl Connection {
    async fn open(server: &Server) -> RedisResult<Self> {
        match server {
            Server::Node(node) => {
                let (sink, stream) = node.client().await?.get_async_pubsub().await?.split();
                Ok(Self::Node(sink, stream))
            }
            Server::Cluster(cluster) => {
                let (pushes, inbox) = mpsc::unbounded_channel();
                let config = ClusterConfig::new().set_push_sender(pushes);
                Ok(Self::Cluster(cluster.client.get_async_connection_with_config(config).await?, inbox))
            }
        }
    }

    async fn subscribe(&mut self, channels: Vec<String>) -> RedisResult<()> {
        match self {
            _ if channels.is_empty() => Ok(()),
            Self::Node(sink, _) => sink.subscribe(channels).await,
            Self::Cluster(connection, _) => {
                let subscriptions = channels.into_iter().map(|channel| {
                    let mut connection = connection.clone();
                    async move {
                        match connection.ssubscribe(&channel).await {
                            // Before Redis 7 a Cluster has no channels of a slot.
                            Err(error) if error.code() == Some("ERR") => connection.subscribe(&channel).await,
                            done => done,
                        }
                    }
                });
                join_all(subscriptions).await.into_iter().collect()
            }
        }
    }

    async fn unsubscribe(&mut self, channels: Vec<String>) -> RedisResult<()> {
        match self {
            _ if channels.is_empty() => Ok(()),
            Self::Node(sink, _) => sink.unsubscribe(channels).await,
            Self::Cluster(connection, _) => {
                let subscriptions = channels.into_iter().map(|channel| {
                    let mut connection = connection.clone();
                    async move {
                        match connection.sunsubscribe(&channel).await {
                            Err(error) if error.code() == Some("ERR") => connection.unsubscribe(&channel).await,
                            done => done,
                        }
                    }
                });
                join_all(subscriptions).await.into_iter().collect()
            }
        }
    }

    async fn next(&mut self) -> News {
        match self {
            Self::Node(_, stream) => match stream.next().await {
                Some(message) => News::Of(message.get_channel_name().to_owned()),
                None => News::End,
            },
            Self::Cluster(_, inbox) => loop {
                let Some(push) = inbox.recv().await else { return News::End };
                match push.kind {
                    PushKind::Disconnection => return News::OfAll,
                    // A slot that moves takes its channels away from whoever had subscribed.
                    PushKind::Message | PushKind::SMessage | PushKind::SUnsubscribe => {
                        if let Some(Value::BulkString(channel)) = push.data.first() {
                            return News::Of(String::from_utf8_lossy(channel).into_owned());
                        }
                    }
                    _ => {}
                }
            },
        }
    }
}
