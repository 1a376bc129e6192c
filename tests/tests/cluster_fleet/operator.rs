//! Who moves slots, and loses primaries.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use cratestack_tests::{
    RedisCluster,
    fleet::Rng,
    redis::{Pace, Role},
};
use futures_util::future::join_all;
use tokio::time::sleep;

/// So many slots move at once.
const AT_ONCE: usize = 8;

/// A primary that was killed.
#[derive(Debug)]
pub struct Loss {
    pub at: Instant,
    /// Which slots it had.
    pub slots: Vec<RangeInclusive<u16>>,
    /// How long it had been cut off from its replica.
    pub alone: Duration,
    /// Until every node knew of the replica that had taken over.
    pub taken_over: Duration,
    /// Until it was back, as a replica that is in sync.
    pub back: Duration,
}

pub struct Operator {
    cluster: RedisCluster,
    /// Those that move.
    slots: Vec<u16>,
    rng: Rng,
    moved: usize,
    pub losses: Vec<Loss>,
}

impl Operator {
    pub fn new(cluster: RedisCluster, slots: Vec<u16>, rng: Rng) -> Self {
        Self { cluster, slots, rng, moved: 0, losses: Vec::new() }
    }

    pub async fn primaries(&self) -> Vec<usize> {
        self.cluster.primaries().await
    }

    /// How many slots have moved since the last call.
    pub fn take_moved(&mut self) -> usize {
        std::mem::take(&mut self.moved)
    }

    /// Some at once, to the primary that chance wills.
    pub async fn move_slots_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let pace = Pace { keys: 100, pause: Duration::from_millis(5) };
        while Instant::now() < end {
            let primaries = self.primaries().await;
            let to = self.rng.pick(&primaries);
            let port = self.cluster.servers()[to].port();
            let has = self.cluster.nodes().await.into_iter().find(|node| node.port == port).unwrap().slots;
            let mut elsewhere: Vec<_> =
                self.slots.iter().copied().filter(|slot| !has.iter().any(|slots| slots.contains(slot))).collect();
            let mut moving = Vec::new();
            while moving.len() < AT_ONCE && !elsewhere.is_empty() {
                let nth = usize::try_from(self.rng.below(elsewhere.len() as u64)).unwrap();
                let slot = elsewhere.swap_remove(nth);
                moving.push(self.cluster.move_slots(slot..=slot, to, pace));
            }
            self.moved += moving.len();
            join_all(moving).await;
        }
        self.cluster.is_well().await;
    }

    /// Slots move, a primary is lost, its replica takes over, and it comes back as a replica: again and again.
    ///
    /// A process that is killed leaves what it had sent on its way, and its replica would have all of it. A machine that
    /// goes, or is cut off first, does not:
    ///
    /// ```text
    /// replica │ stands still ───────────────────────── goes on: its link is gone, and soon its primary ── takes over
    /// primary │         cuts the link ── writes … ── is killed                                             comes back
    /// ```
    ///
    /// No slot is half-way between two primaries when one of them goes: the replicas would know nothing of it. A record
    /// that moves is acknowledged by nobody where it comes to, so for `careful` clients its new replica has it first.
    pub async fn lose_primaries_for(&mut self, time: Duration, careful: bool) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let pause = Duration::from_millis(self.rng.between(1_000, 3_000));
            self.move_slots_for(pause).await;
            if careful {
                self.replicas_have_what_moved().await;
            }
            let primaries = self.primaries().await;
            let primary = self.rng.pick(&primaries);
            self.lose(primary).await;
            assert!(!self.primaries().await.contains(&primary), "it comes back as a replica");
        }
    }

    async fn lose(&mut self, primary: usize) {
        let nodes = self.cluster.nodes().await;
        let port = self.cluster.servers()[primary].port();
        let lost = nodes.iter().find(|node| node.port == port).unwrap();
        let replica = nodes.iter().find(|node| node.primary.as_ref() == Some(&lost.id)).unwrap().port;
        let replica = self.cluster.servers().iter().position(|server| server.port() == replica).unwrap();
        let alone = Duration::from_millis(self.rng.below(800));

        self.cluster.freeze(replica).await;
        self.cluster.servers()[primary].tell::<i64>("CLIENT KILL TYPE replica").await;
        sleep(alone).await;
        self.cluster.kill(primary).await;
        let at = Instant::now();
        self.cluster.thaw(replica).await;
        let taken_over = at.elapsed();
        self.cluster.restart(primary).await;
        self.losses.push(Loss { at, slots: lost.slots.clone(), alone, taken_over, back: at.elapsed() });
    }

    async fn replicas_have_what_moved(&self) {
        let nodes = self.cluster.nodes().await;
        let server = |port| self.cluster.servers().iter().find(|server| server.port() == port).unwrap();
        let offset = async |port: u16, field: &str| -> u64 {
            server(port).info(field).await.unwrap().map_or(0, |offset| offset.parse().unwrap())
        };
        for primary in nodes.iter().filter(|node| node.role == Role::Primary) {
            let written = offset(primary.port, "master_repl_offset").await;
            for replica in nodes.iter().filter(|node| node.primary.as_ref() == Some(&primary.id)) {
                while offset(replica.port, "slave_repl_offset").await < written {
                    sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }
}
