//! The same questions, asked of Redis: reserve and complete, replays, and what each costs a server that is not waited
//! for but computes.
//!
//! Both stores have one server to themselves, in turns, and one connection to it. What a Cluster of any size comes to
//! follows from what a node does alone and from what a finished key costs with one node and with three.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use cratestack_axum::idempotency as peer;
use cratestack_axum::idempotency::IdempotencyLayer;
use cratestack_redis::RedisIdempotencyStore;
use cratestack_runtime::{Claim, ClaimOutcome, Idempotency, IdempotencyStore, RedisStore, async_trait};

use super::our_round;
use super::requests::{Http, guarded, pay};
use crate::Fallible;
use crate::figure::{Contender, Figure, Limit, Measure};
use crate::load::{Call, Load, drive};
use crate::network::{Network, RoundTrip};
use crate::redis_servers::{RedisCluster, RedisOptions, RedisServer};
use crate::sample::{Quantity, Sample};
use crate::server::{self, RedisNodes};
use crate::traffic::{BODY, HASH, HEADERS, LEASE, PRINCIPAL, RETENTION, STATUS, new_key, recorded_key};

/// The figures of one server, over a network where `rtt` is one.
pub async fn redis(rtt: RoundTrip) -> Fallible<Vec<Figure>> {
    let at = Arc::new(Place::start(rtt).await?);
    let mut figures: Vec<Figure> = [1, 16, 64, 256].map(|callers| rounds(&at, callers)).into();
    figures.push(replays(&at, 16));
    figures.push(seen(&at)?);
    Ok(figures)
}

fn per_key() -> [Measure; 4] {
    [
        Measure::ratio(Quantity::ServerCpu, None),
        Measure::ratio(Quantity::Commands, None),
        Measure::ratio(Quantity::Bytes, None),
        Measure::ratio(Quantity::Memory, None),
    ]
}

fn rounds(at: &Arc<Place>, callers: usize) -> Figure {
    let at_least = Limit::AtLeast(1.0);
    let throughput = Measure::ratio(Quantity::Throughput, at_least).over_network(at_least);
    Figure {
        name: format!("redis-store-{callers}"),
        title: format!("reserve + complete in Redis, callers: {callers}"),
        callers,
        rate: None,
        contenders: vec![
            at.ours("ours", Asked::Rounds, true),
            at.theirs(Asked::Rounds),
            at.ours("ours, group commit off", Asked::Rounds, false),
        ],
        measures: [throughput, Measure::ratio(Quantity::P50, None), Measure::ratio(Quantity::P99, None)]
            .into_iter()
            .chain(per_key())
            .chain([Measure::ratio(Quantity::Throughput, None).against(2)])
            .collect(),
    }
}

fn replays(at: &Arc<Place>, callers: usize) -> Figure {
    let at_least = Limit::AtLeast(1.0);
    let throughput = Measure::ratio(Quantity::Throughput, at_least).over_network(at_least);
    Figure {
        name: format!("redis-replay-{callers}"),
        title: format!("replay from Redis, callers: {callers}"),
        callers,
        rate: None,
        contenders: vec![at.ours("ours", Asked::Replays, true), at.theirs(Asked::Replays)],
        measures: [throughput, Measure::ratio(Quantity::P99, None)].into_iter().chain(per_key()).collect(),
    }
}

/// Retries of requests whose outcome this process has seen before.
fn seen(at: &Arc<Place>) -> Fallible<Figure> {
    let ours = guarded(Idempotency::new(at.our_store(true)?));
    let layer = IdempotencyLayer::new(Arc::new(at.their_store()?), RETENTION);
    let theirs = Router::new().route("/payments", post(pay)).layer(layer);
    let limit = Limit::AtLeast(3.0);
    Ok(Figure {
        name: "redis-seen-16".to_owned(),
        title: "a retried request whose outcome this process has seen before, Redis, callers: 16".to_owned(),
        callers: 16,
        rate: None,
        contenders: vec![
            at.kept_by(Http::retried("ours", ours)),
            at.kept_by(Http::retried("cratestack-redis", theirs)),
        ],
        measures: vec![
            Measure::ratio(Quantity::Throughput, limit).over_network(limit),
            Measure::ratio(Quantity::P50, None),
            Measure::ratio(Quantity::P99, None),
        ],
    })
}

/// What a finished key costs towards three nodes, beside one.
pub async fn cluster() -> Fallible<Vec<Figure>> {
    let one = Arc::new(Place::start(RoundTrip::default()).await?);
    let three = Arc::new(RedisOptions::new().start_cluster().await);
    let mut nodes = Vec::new();
    for primary in three.primaries().await {
        nodes.push(three.servers()[primary].connect().await?);
    }
    let nodes = RedisNodes(nodes);
    let figure = |callers: usize| {
        let store = RedisStore::cluster(three.clients())?;
        let cluster = OnRedis {
            name: "a Cluster of three",
            store: Store::Ours(store),
            asked: Asked::Rounds,
            nodes: nodes.clone(),
            _cluster: Some(Arc::clone(&three)),
            _at: None,
        };
        let ratio = |quantity| Measure::ratio(quantity, None);
        Fallible::Ok(Figure {
            name: format!("redis-cluster-{callers}"),
            title: format!("reserve + complete on a Cluster of three primaries against one node, callers: {callers}"),
            callers,
            rate: None,
            contenders: vec![Box::new(cluster) as Box<dyn Contender>, one.ours("one node", Asked::Rounds, true)],
            measures: [ratio(Quantity::Throughput)].into_iter().chain(per_key()).collect(),
        })
    };
    [16, 256].into_iter().map(figure).collect()
}

/// A server of its own, and the way to it.
struct Place {
    nodes: RedisNodes,
    url: String,
    _server: RedisServer,
    _network: Network,
}

impl Place {
    async fn start(rtt: RoundTrip) -> Fallible<Self> {
        // In memory only: what a disk costs is the same for both, and hides what is measured.
        let server = RedisOptions::new().start().await;
        let at = (std::net::Ipv4Addr::LOCALHOST, server.port()).into();
        let network = Network::start_uncounted(at, rtt)?;
        let url = format!("redis://{}", network.address_of(at));
        Ok(Self { nodes: RedisNodes(vec![server.connect().await?]), url, _server: server, _network: network })
    }

    fn our_store(&self, group_commit: bool) -> Fallible<RedisStore> {
        Ok(RedisStore::new(redis::Client::open(self.url.as_str())?).group_commit(group_commit))
    }

    fn their_store(&self) -> Fallible<RedisIdempotencyStore> {
        RedisIdempotencyStore::open(self.url.as_str(), "peers").map_err(|error| error.to_string().into())
    }

    fn ours(self: &Arc<Self>, name: &'static str, asked: Asked, group_commit: bool) -> Box<dyn Contender> {
        let store = self.our_store(group_commit).expect("the URL of a server of ours is one");
        self.contender(name, Store::Ours(store), asked)
    }

    fn theirs(self: &Arc<Self>, asked: Asked) -> Box<dyn Contender> {
        let store = self.their_store().expect("the URL of a server of ours is one");
        self.contender("cratestack-redis", Store::Theirs(store), asked)
    }

    fn kept_by(self: &Arc<Self>, contender: Box<dyn Contender>) -> Box<dyn Contender> {
        Box::new(Keeping { contender, at: Arc::clone(self) })
    }

    fn contender(self: &Arc<Self>, name: &'static str, store: Store, asked: Asked) -> Box<dyn Contender> {
        let (nodes, at) = (self.nodes.clone(), Some(Arc::clone(self)));
        Box::new(OnRedis { name, store, asked, nodes, _cluster: None, _at: at })
    }
}

/// Whoever needs a server that he does not know of: it ends with the last of its figures.
struct Keeping {
    contender: Box<dyn Contender>,
    at: Arc<Place>,
}

#[async_trait]
impl Contender for Keeping {
    fn name(&self) -> String {
        self.contender.name()
    }

    async fn prepare(&self) -> Fallible {
        server::observe(self.at.nodes.clone()).await;
        self.contender.prepare().await
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        self.contender.run(load).await
    }
}

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a figure has a few")]
enum Store {
    Ours(RedisStore),
    Theirs(RedisIdempotencyStore),
}

impl Store {
    async fn round(&self, key: &str) -> Fallible {
        match self {
            Self::Ours(store) => our_round(store, key, &BODY).await,
            Self::Theirs(store) => their_round(store, key, &BODY).await,
        }
    }

    async fn replay(&self, key: &str) -> Fallible {
        let body = match self {
            Self::Ours(store) => {
                let claim = Claim { principal: PRINCIPAL, key, request_hash: HASH, lease: LEASE, retention: RETENTION };
                match store.reserve(claim).await? {
                    ClaimOutcome::Replay(record) => Some(record.response_body.len()),
                    _ => None,
                }
            }
            Self::Theirs(store) => match their_reservation(store, key).await? {
                peer::ReservationOutcome::Replay(record) => Some(record.response_body.len()),
                _ => None,
            },
        };
        if body == Some(BODY.len()) { Ok(()) } else { Err("a recorded outcome was not replayed".into()) }
    }
}

async fn their_reservation(store: &RedisIdempotencyStore, key: &str) -> Fallible<peer::ReservationOutcome> {
    use peer::IdempotencyStore as _;
    let expires_at = SystemTime::now() + RETENTION;
    store.reserve_or_fetch(PRINCIPAL, key, HASH, expires_at).await.map_err(|error| error.to_string().into())
}

async fn their_round(store: &RedisIdempotencyStore, key: &str, body: &Bytes) -> Fallible {
    use peer::IdempotencyStore as _;
    let peer::ReservationOutcome::Reserved { token } = their_reservation(store, key).await? else {
        return Err("a new key was not reserved".into());
    };
    store.complete(PRINCIPAL, key, token, STATUS, &HEADERS, body).await.map_err(|error| error.to_string())?;
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Reserve and complete a new key.
    Rounds,
    /// What has finished.
    Replays,
}

/// So many outcomes are there to be replayed. Neither store keeps any of them in this process.
const RECORDED: usize = 20_000;

struct OnRedis {
    name: &'static str,
    store: Store,
    asked: Asked,
    nodes: RedisNodes,
    /// They go with it.
    _cluster: Option<Arc<RedisCluster>>,
    _at: Option<Arc<Place>>,
}

#[async_trait]
impl Contender for OnRedis {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    async fn prepare(&self) -> Fallible {
        self.nodes.empty().await?;
        server::observe(self.nodes.clone()).await;
        if self.asked == Asked::Replays {
            let record = |n| async move { self.store.round(&recorded_key(n)).await };
            let recorded = futures_util::stream::StreamExt::buffer_unordered(
                futures_util::stream::iter((0..RECORDED).map(record)),
                64,
            );
            futures_util::stream::TryStreamExt::try_collect::<()>(recorded).await?;
        }
        Ok(())
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let (store, asked) = (self.store.clone(), self.asked);
        let next = Arc::new(AtomicUsize::new(0));
        let memory = self.nodes.memory().await?;
        let sample = drive(load, move || {
            let store = store.clone();
            let n = next.fetch_add(1, Ordering::Relaxed);
            async move {
                let key = if asked == Asked::Rounds { new_key() } else { recorded_key(n * 7_919 % RECORDED) };
                let begun = Instant::now();
                match asked {
                    Asked::Rounds => store.round(&key).await?,
                    Asked::Replays => store.replay(&key).await?,
                }
                Ok(Call::Took(begun.elapsed()))
            }
        })
        .await?;
        if asked == Asked::Replays {
            return Ok(sample);
        }
        Ok(Sample { memory: self.nodes.memory().await?.per_key_since(memory), ..sample })
    }
}
