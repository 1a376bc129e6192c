//! One hash for each record, and one script for each operation: `scripts/*.lua`.
//!
//! - `keyspace` says what a call sends, `outcome` what its answer means.
//! - `calls` lets calls share a round trip; `server` runs them on a `node` or a `cluster` of such, and again with the
//!   script's text where a server does not know it. `shared` is how many callers have one connection, and `to_the_end`
//!   how a call goes on that its caller does not wait for any more.
//! - `acknowledgement` is what replicas and disks have to say first; `watch` how waiters are told; `session` whether the
//!   server may have lost something; `records` what operators do, and `check` what they are told of the servers.

mod acknowledgement;
mod calls;
mod check;
mod cluster;
mod command;
mod error;
mod keyspace;
mod node;
mod outcome;
mod records;
mod script;
mod server;
mod session;
mod shared;
#[cfg(all(feature = "axum", feature = "testing"))]
mod testing;
mod to_the_end;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use cratestack_schema::redis::{KeyPrefix, ServerReport};
use redis::Client;
use redis::sentinel::SentinelClient;
use uuid::Uuid;

use self::acknowledgement::Acknowledgement;
use self::calls::{Lent, Queues};
use self::cluster::Cluster;
use self::command::ScriptCall;
use self::error::{store_error, unexpected};
use self::keyspace::{Keyspace, TICK, is_written};
use self::node::Node;
use self::outcome::recorded_steps;
use self::server::Server;
use self::session::Sessions;
use self::watch::Watcher;
use crate::store::{
    Claim, ClaimOutcome, ClockSample, Completion, IdempotencyStore, LeaseState, RecordIdRef, RecordInfo, RecordQuery,
    RecordedStep, Removal, RemovalOutcome, RemovedAll, ReservationOutcome, StepRecord, StoreError, Watch,
};
use crate::stores::renewal::{Renewal, renew_in_time};
use crate::stores::status::recordable;

/// Keeps reservations and outcomes in Valkey or Redis, from 6.2 on: on one node, on the primary that Sentinel names, or
/// on a Cluster.
///
/// It promises less than `PostgresStore`. A server acknowledges a write before its disk or a replica has it: where a
/// primary is lost, what it acknowledged last may be lost with it, and such a request runs again.
/// [`acknowledged_by`](Self::acknowledged_by) and [`synced_to_disk`](Self::synced_to_disk) narrow that, at a price; the
/// figures are in the repository's `docs/redis.md`.
///
/// Every operation is one script about one key, by the server's clock, and every record is one hash that the server
/// drops when it expires: nothing has to be swept. Nothing is created beforehand.
///
/// Where many requests come at once, their calls share what the connection sends, and acknowledgements; see
/// [`group_commit`](Self::group_commit).
///
/// A store and its clones have one connection to a server, on a Cluster to each primary. They have more of them where
/// acknowledgements are asked for, one for each batch on its way, and another one while duplicates wait for a run of
/// another process.
///
/// ```no_run
/// use cratestack_runtime::{Idempotency, RedisStore};
///
/// # fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let client = redis::Client::open("redis://127.0.0.1:6379")?;
/// let idempotency = Idempotency::new(RedisStore::new(client));
/// # let _ = idempotency;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RedisStore {
    keyspace: Arc<Keyspace>,
    calls: Queues,
    group_commit: bool,
    watcher: Arc<Watcher>,
    sessions: Arc<Sessions>,
}

impl RedisStore {
    /// A store on one node. Does not connect.
    ///
    /// ```no_run
    /// # fn make() -> redis::RedisResult<()> {
    /// let client = redis::Client::open("redis://127.0.0.1:6379")?;
    /// let store = cratestack_runtime::RedisStore::new(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(client: Client) -> Self {
        Self::over(Server::Node(Arc::new(Node::new(client))))
    }

    /// A store on the primary that Sentinel names, which it asks for anew whenever a connection ends. Does not connect.
    ///
    /// ```no_run
    /// use cratestack_runtime::RedisStore;
    /// use redis::sentinel::{SentinelClient, SentinelServerType};
    ///
    /// # fn make() -> redis::RedisResult<()> {
    /// let sentinels = vec!["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
    /// let client = SentinelClient::build(sentinels, "payments".to_owned(), None, SentinelServerType::Master)?;
    /// let store = RedisStore::sentinel(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn sentinel(client: SentinelClient) -> Self {
        Self::over(Server::Node(Arc::new(Node::behind_sentinel(client))))
    }

    /// A store on a Cluster, which asks the nodes of these clients for all others. Does not connect.
    ///
    /// The other nodes are reached as the first of these: with its user, password and TLS, and at the hosts that the
    /// Cluster tells (`cluster-announce-ip`, `cluster-announce-hostname`).
    ///
    /// # Errors
    ///
    /// When no client is given, one has no host, or they differ in user, password, database or TLS.
    ///
    /// ```no_run
    /// use cratestack_runtime::RedisStore;
    /// use redis::Client;
    ///
    /// # fn make() -> Result<(), Box<dyn std::error::Error>> {
    /// let nodes = [Client::open("redis://10.0.0.1:6379")?, Client::open("redis://10.0.0.2:6379")?];
    /// let store = RedisStore::cluster(nodes)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn cluster(nodes: impl IntoIterator<Item = Client>) -> Result<Self, StoreError> {
        let cluster = Cluster::new(nodes.into_iter().collect()).map_err(|error| store_error(&error))?;
        Ok(Self::over(Server::Cluster(cluster)))
    }

    fn over(server: Server) -> Self {
        let server = Arc::new(server);
        Self::with(Keyspace { server, prefix: KeyPrefix::default(), acknowledgement: Acknowledgement::default() }, true)
    }

    fn with(keyspace: Keyspace, group_commit: bool) -> Self {
        let keyspace = Arc::new(keyspace);
        let releases = Queues::new(&keyspace, None, group_commit);
        let calls = Queues::new(&keyspace, Some(&releases), group_commit);
        Self { keyspace, calls, group_commit, watcher: Arc::default(), sessions: Arc::default() }
    }

    fn changed(self, change: impl FnOnce(&mut Keyspace)) -> Self {
        let mut keyspace = (*self.keyspace).clone();
        change(&mut keyspace);
        Self::with(keyspace, self.group_commit)
    }

    /// What the names of the store's keys begin with. Default: `cratestack_idempotency:`.
    ///
    /// Clones share what they wait for, so this belongs where the store is made.
    ///
    /// ```no_run
    /// use cratestack_runtime::RedisStore;
    /// use cratestack_runtime::schema::KeyPrefix;
    ///
    /// # fn make(client: redis::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let store = RedisStore::new(client).prefix(KeyPrefix::new("payments:idempotency:")?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn prefix(self, prefix: KeyPrefix) -> Self {
        self.changed(|keyspace| keyspace.prefix = prefix)
    }

    /// How many replicas must have what a caller is told: a reservation, a renewal, an outcome, a step, also an outcome
    /// that is replayed (`WAIT`). Default: none.
    ///
    /// What they do not acknowledge within a second is an error: the reservation is given back, the guard answers 503,
    /// an outcome is recorded again until it is acknowledged. Where a replica that has acknowledged is promoted, nothing
    /// is lost; where another one may be, name all of them here. On a Cluster the replicas of each primary are meant.
    ///
    /// Each call then costs the round trip to the replicas as well, which calls to one node that arrive together share.
    ///
    /// ```no_run
    /// # fn make(client: redis::Client) {
    /// let store = cratestack_runtime::RedisStore::new(client).acknowledged_by(1);
    /// # }
    /// ```
    #[must_use]
    pub fn acknowledged_by(self, replicas: u32) -> Self {
        self.changed(|keyspace| keyspace.acknowledgement.replicas = replicas)
    }

    /// Whether what a caller is told must also lie on the disk of the primary, and of as many replicas as
    /// [`acknowledged_by`](Self::acknowledged_by) names (`WAITAOF`). Default: it need not.
    ///
    /// The server must be Redis 7.2 or Valkey, with `appendonly yes`: else every call is an error that says so. With
    /// `appendfsync everysec` a call takes up to a second and a little, and is an error after three; some versions (Valkey
    /// 8.1.1 is one) answer before the disk has anything, see the repository's `docs/redis.md`. With `always` the disk
    /// has everything anyway, on every version.
    ///
    /// ```no_run
    /// # fn make(client: redis::Client) {
    /// let store = cratestack_runtime::RedisStore::new(client).acknowledged_by(1).synced_to_disk(true);
    /// # }
    /// ```
    #[must_use]
    pub fn synced_to_disk(self, on: bool) -> Self {
        self.changed(|keyspace| keyspace.acknowledgement.synced = on)
    }

    /// Whether calls that arrive while others wait for an acknowledgement share the next one. Default: they do.
    ///
    /// It matters with [`acknowledged_by`](Self::acknowledged_by) and [`synced_to_disk`](Self::synced_to_disk). Without
    /// them calls share the connection to their node, and what it sends, as they come. There is no timer either way.
    ///
    /// Clones share their messages, so this belongs where the store is made.
    ///
    /// ```no_run
    /// # fn make(client: redis::Client) {
    /// let store = cratestack_runtime::RedisStore::new(client).group_commit(false);
    /// # }
    /// ```
    #[must_use]
    pub fn group_commit(self, on: bool) -> Self {
        Self::with((*self.keyspace).clone(), on)
    }

    /// Asks the server, or each primary of the Cluster, whether it is what this store needs: its version, whether it may
    /// evict keys, what it keeps on its disk, its replicas, and the rights of its user. It changes nothing there.
    ///
    /// A report that is not [clean](crate::schema::ServerReport::is_clean) names each mistake, and the line that mends
    /// it.
    ///
    /// # Errors
    ///
    /// When a server does not answer: [`StoreError::Unavailable`]. What it refuses is in the report.
    ///
    /// ```no_run
    /// # async fn start(client: redis::Client) -> Result<(), cratestack_runtime::StoreError> {
    /// let store = cratestack_runtime::RedisStore::new(client);
    /// let report = store.check().await?;
    /// if !report.is_clean() {
    ///     eprintln!("{report}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check(&self) -> Result<ServerReport, StoreError> {
        check::check(&self.keyspace).await
    }

    async fn run(&self, id: RecordIdRef<'_>, call: &ScriptCall) -> Result<redis::Value, StoreError> {
        self.calls.of(&self.keyspace, &call.command).call(id, Lent(call)).await?.into_value()
    }

    /// Whether the call wrote something.
    async fn write(&self, id: RecordIdRef<'_>, call: &ScriptCall) -> Result<LeaseState, StoreError> {
        Ok(if is_written(&self.run(id, call).await?) { LeaseState::Held } else { LeaseState::Lost })
    }

    async fn record(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        recordable(completion.status)?;
        self.write(completion.id(), &self.keyspace.finish(&completion)).await
    }
}

#[async_trait]
impl IdempotencyStore for RedisStore {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        self.reserve(Claim::until(principal, key, request_hash, expires_at)).await.map(ReservationOutcome::from)
    }

    async fn complete(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Result<(), StoreError> {
        let body = &Bytes::copy_from_slice(body);
        self.record(Completion { principal, key, token, status, headers, body }).await.map(drop)
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        let id = RecordIdRef { principal, key };
        self.run(id, &self.keyspace.release(id, token)).await.map(drop)
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        let call = self.keyspace.reserve(&claim);
        self.calls.of(&self.keyspace, &call.command).call(claim.id(), Lent(&call)).await?.into_claim()
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        let id = RecordIdRef { principal, key };
        let call = &self.keyspace.renew(id, token, TICK.renewal(lease, retention));
        renew_in_time(lease, || async move {
            let asked = Instant::now();
            match self.run(id, call).await? {
                redis::Value::Int(-1) => Ok(Renewal::Lost),
                redis::Value::Int(lasts) => Ok(Renewal::of(TICK, lasts, asked.elapsed())),
                other => Err(unexpected(&other)),
            }
        })
        .await
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        self.record(completion).await
    }

    fn keeps_steps(&self) -> bool {
        true
    }

    async fn record_step(&self, step: StepRecord<'_>) -> Result<LeaseState, StoreError> {
        self.write(step.id(), &self.keyspace.record_step(&step)).await
    }

    async fn steps(&self, principal: &str, key: &str, token: Uuid) -> Result<Vec<RecordedStep>, StoreError> {
        let id = RecordIdRef { principal, key };
        recorded_steps(self.run(id, &self.keyspace.steps(id, token)).await?)
    }

    async fn watch(&self, principal: &str, key: &str) -> Result<Option<Watch>, StoreError> {
        let id = RecordIdRef { principal, key };
        let Some(watch) = self.watcher.subscribe(&self.keyspace, id).await else { return Ok(None) };
        self.run(id, &watch::mark(&self.keyspace, id)).await?;
        Ok(Some(watch))
    }

    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        self.sessions.sample(&self.keyspace).await
    }

    async fn show(&self, principal: &str, key: &str) -> Result<Option<RecordInfo>, StoreError> {
        self.info(RecordIdRef { principal, key }).await
    }

    async fn list(&self, query: &RecordQuery) -> Result<Vec<RecordInfo>, StoreError> {
        self.infos(query).await
    }

    async fn remove(&self, principal: &str, key: &str, removal: Removal) -> Result<RemovalOutcome, StoreError> {
        self.remove_one(RecordIdRef { principal, key }, removal).await
    }

    async fn remove_all_of(&self, principal: &str, removal: Removal, limit: u32) -> Result<RemovedAll, StoreError> {
        self.remove_many(principal, removal, limit).await
    }
}
