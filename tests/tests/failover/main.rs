//! What a loss of a server costs who keeps records on Redis, counted.
//!
//! ```text
//! process A │ keys, one after another ─── told ─── refused ───── told ──┤
//! servers   │ up                        ✗ lost            back          │
//! process B │                                                           │ every key again, until it is told
//! ```
//!
//! At a random moment under load the servers are lost as the scenario says, and brought back; then every key is retried
//! at another process, which has nothing in its memory, until it has an outcome. A ledger that no server has counts the
//! effects. Where a record is lost, its key runs twice, and its client is told another outcome. A lease is longer than an
//! outage, so that no key is taken over for its lease's sake; one that was all the same before its outcome was recorded
//! is counted apart.
//!
//! A few rounds run by default, which hold the scenarios to what is promised: where nothing is promised, a loss is counted
//! only. `FAILOVER_ROUNDS=200 cargo test -p cratestack-tests --test failover -- --nocapture` prints the table of
//! `docs/redis.md`; `FAILOVER_ABREAST` says how many rounds of a scenario run at once, `FAILOVER_SEED` repeats their
//! plans, and `FAILOVER_LEASE` is for a machine on which servers take longer to come back.

#![allow(clippy::unwrap_used)]

mod outages;
mod shop;
mod tally;

use std::{
    env, fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cratestack_runtime::{Claim, IdempotencyStore as _, RedisStore};
use cratestack_tests::{RedisOptions, fleet::Rng, redis::Fsync};
use futures_util::future::join_all;
use tokio::time::sleep;

use self::{
    outages::{Outage, Promoted, Servers},
    shop::{Load, Shop, Watch},
    tally::Tally,
};

const ROUNDS: u64 = 3;
const ABREAST: u64 = 2;

/// In seconds; longer than any of the outages takes.
const LEASE: u64 = 12;
/// The service goes on for so long once it is back.
const AFTERWARDS: Duration = Duration::from_millis(60);
/// A service that is not back by then stays away.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy)]
struct Scenario {
    name: &'static str,
    outage: Outage,
    acknowledged_by: u32,
    is_synced: bool,
    load: Load,
    /// When the servers are lost, in milliseconds from when each caller has had an outcome or so.
    lost_after: (u64, u64),
}

impl Scenario {
    fn new(name: &'static str, outage: Outage) -> Self {
        let load = Load { callers: 64, pause: 120 };
        Self { name, outage, acknowledged_by: 0, is_synced: false, load, lost_after: (0, 300) }
    }

    fn acknowledged_by(self, acknowledged_by: u32) -> Self {
        Self { acknowledged_by, ..self }
    }

    /// As long as a disk that is synced each second may take to come to it.
    fn over_a_second(self) -> Self {
        Self { load: Load { callers: 64, pause: 300 }, lost_after: (500, 1_500), ..self }
    }

    /// Clients of two processes at once.
    fn at_two(self) -> Self {
        Self { load: Load { callers: 32, pause: 120 }, ..self }
    }

    fn store(&self, servers: &Servers, process: usize) -> RedisStore {
        servers.store(process).acknowledged_by(self.acknowledged_by).synced_to_disk(self.is_synced)
    }

    /// One round, and the servers for the next one.
    async fn round(
        &self,
        seed: u64,
        number: u64,
        servers: Option<Servers>,
    ) -> Result<(Tally, Option<Servers>), String> {
        let mut rng = Rng::of_round(seed, number);
        let servers = match servers {
            Some(servers) => servers.again(&mut rng).await,
            None => None,
        };
        let mut servers = match servers {
            Some(servers) => servers,
            None => Servers::start(self.outage, &mut rng).await,
        };
        let lease = Duration::from_secs(setting("FAILOVER_LEASE").unwrap_or(LEASE));
        let ledger = Arc::default();
        let shops: Vec<_> = (0..2).map(|process| Shop::over(self.store(&servers, process), lease, &ledger)).collect();
        let watch = Arc::new(Watch::default());
        // In a split each process has its clients. Else the second has none until the end.
        let asked_first = if self.outage == Outage::Split { &shops[..] } else { &shops[..1] };
        let mut callers = shop::load(asked_first, &watch, self.load, number, &mut rng);
        let begun = Instant::now();
        while watch.told() < self.load.callers as u64 {
            if begun.elapsed() > PATIENCE {
                return Err("stuck: too little is served although nothing is lost".into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_millis(rng.between(self.lost_after.0, self.lost_after.1))).await;

        servers.lose().await;
        watch.strike();
        servers.mend(&mut rng).await;
        let mended = Instant::now();
        while watch.back().is_none() {
            if mended.elapsed() > PATIENCE {
                return Err("stuck: no call is served although the servers are back".into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        sleep(AFTERWARDS).await;
        watch.stop();

        let mut asked = Vec::new();
        while let Some(some) = callers.join_next().await {
            asked.extend(some.unwrap()?);
        }
        let told = shop::retry(&shops, &watch, asked, &mut rng).await?;
        Ok((Tally::of(&ledger, &told, &watch)?, Some(servers)))
    }

    /// The rounds that are asked for, and the row of the table.
    async fn run(self) -> Tally {
        let seed = setting("FAILOVER_SEED").unwrap_or_else(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()))
        });
        let rounds = setting("FAILOVER_ROUNDS").unwrap_or(ROUNDS);
        let abreast = setting("FAILOVER_ABREAST").unwrap_or(ABREAST);
        let next = AtomicU64::new(0);
        let whole = Mutex::new(Tally::default());
        let lanes = (0..abreast).map(|_| async {
            let mut servers = None;
            loop {
                let number = next.fetch_add(1, SeqCst);
                if number >= rounds {
                    return;
                }
                match self.round(seed, number, servers.take()).await {
                    Ok((tally, again)) => {
                        servers = again;
                        let mut whole = whole.lock().unwrap();
                        whole.add(tally);
                        if whole.rounds.is_multiple_of(20) {
                            println!("of {rounds} rounds: {}", whole.row(self.name));
                        }
                    }
                    Err(wrong) => panic!("FAILOVER_SEED={seed}, round {number} of {}: {wrong}", self.name),
                }
            }
        });
        join_all(lanes).await;
        let whole = whole.into_inner().unwrap();
        println!("{}\n{}", tally::HEAD, whole.row(self.name));
        whole
    }

    async fn loses_nothing(self) {
        let whole = self.run().await;
        assert!(
            whole.nothing_was_lost(),
            "something is lost that was promised:\n{}\n{}",
            tally::HEAD,
            whole.row(self.name)
        );
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

const fn primary(replicas: usize, promoted: Promoted) -> Outage {
    Outage::Primary { replicas, promoted }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_lost_with_a_disk_that_is_synced_each_second() {
    Scenario::new("power lost, `appendfsync everysec`", Outage::Power(Fsync::Everysec)).over_a_second().run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_lost_with_a_disk_that_is_synced_before_each_answer_loses_nothing() {
    Scenario::new("power lost, `appendfsync always`", Outage::Power(Fsync::Always)).loses_nothing().await;
}

/// A server that is too old for it says so, and lets nothing run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_lost_with_a_store_that_waits_for_the_disk_loses_nothing() {
    let outage = Outage::Power(Fsync::Everysec);
    let server = RedisOptions::new().append_only(Fsync::Everysec).start().await;
    let has_waitaof: Vec<redis::Value> = server.tell("COMMAND INFO WAITAOF").await;
    if has_waitaof == [redis::Value::Nil] || has_waitaof == [redis::Value::Array(Vec::new())] {
        let store = RedisStore::new(server.client()).synced_to_disk(true);
        let lease = Duration::from_secs(1);
        let claim = Claim { principal: "p", key: "k", request_hash: [0; 32], lease, retention: lease };
        let refused = store.reserve(claim).await.unwrap_err().to_string();
        assert!(refused.contains("`RedisStore::synced_to_disk` needs a server from 7.2 on"), "{refused}");
        return;
    }
    let scenario = Scenario::new("power lost, `everysec`, `synced_to_disk(true)`", outage);
    // A key takes two syncs, and so two seconds.
    let load = Load { callers: 128, pause: 200 };
    let scenario = Scenario { is_synced: true, load, lost_after: (0, 2_000), ..scenario };
    if answers_before_the_disk().await {
        println!("this server answers WAITAOF before its disk has what was written");
        scenario.run().await;
    } else {
        scenario.loses_nothing().await;
    }
}

/// With `appendfsync everysec` some versions acknowledge what they have not synced, such as Valkey 8.1.1.
async fn answers_before_the_disk() -> bool {
    let server = RedisOptions::new().append_only(Fsync::Everysec).loses_power().start().await;
    let syncs = || fs::read_to_string(server.directory().join("synced")).unwrap().lines().count();
    let mut connection = server.connect().await.unwrap();
    for _ in 0..5 {
        let before = syncs();
        let mut pipe = redis::pipe();
        pipe.cmd("INCR").arg("n").ignore().cmd("WAITAOF").arg(&[1, 0, 3_000]);
        let ((disks, _),): ((u32, u32),) = pipe.query_async(&mut connection).await.unwrap();
        if disks == 1 && syncs() == before {
            return true;
        }
    }
    false
}

/// While its disk is slow to sync, a server also puts off writing, for two seconds at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_with_a_disk_that_is_synced_each_second() {
    Scenario::new("process killed, `everysec`", Outage::Process(Fsync::Everysec)).over_a_second().run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_promoted_without_acknowledgement() {
    let scenario = Scenario::new("primary lost, its replica promoted", primary(1, Promoted::Any));
    scenario.run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_promoted_that_acknowledges_loses_nothing() {
    let scenario = Scenario::new("the same, `acknowledged_by(1)`", primary(1, Promoted::Any));
    scenario.acknowledged_by(1).loses_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_of_two_replicas_promoted_of_which_one_acknowledges() {
    let scenario = Scenario::new("any of two replicas promoted, `acknowledged_by(1)`", primary(2, Promoted::Any));
    scenario.acknowledged_by(1).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_advanced_of_two_replicas_promoted_of_which_one_acknowledges_loses_nothing() {
    let outage = primary(2, Promoted::MostAdvanced);
    let scenario = Scenario::new("the more advanced of two promoted, `acknowledged_by(1)`", outage);
    scenario.acknowledged_by(1).loses_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_of_two_replicas_promoted_that_both_acknowledge_loses_nothing() {
    let scenario = Scenario::new("any of two replicas promoted, `acknowledged_by(2)`", primary(2, Promoted::Any));
    scenario.acknowledged_by(2).loses_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_without_acknowledgement() {
    Scenario::new("split, both sides serve", Outage::Split).at_two().run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_with_acknowledgement_loses_nothing() {
    Scenario::new("split, `acknowledged_by(1)`", Outage::Split).at_two().acknowledged_by(1).loses_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_sentinel_without_acknowledgement() {
    Scenario::new("failover by Sentinel", Outage::Sentinel).run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_sentinel_with_acknowledgement() {
    Scenario::new("failover by Sentinel, `acknowledged_by(1)`", Outage::Sentinel).acknowledged_by(1).run().await;
}
