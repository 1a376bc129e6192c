//! What a round does, all of it from a seed.

use std::time::Duration;

use cratestack_tests::fleet::{Rng, Setup};

use crate::clients::{CHARGES, Manner, Order, PAYMENTS};

/// What is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The way delivers nothing, and then all of it.
    Pause,
    /// The way is closed.
    Cut,
    /// The way loses what is sent.
    BlackHole,
    /// The server stands still.
    Freeze,
    /// The server is stopped, and starts again.
    Restart,
}

#[derive(Debug, Clone)]
pub struct Round {
    pub number: u64,
    pub lease: Duration,
    pub store_timeout: Duration,
    acquire_timeout: Duration,
    pool: u64,
    tuned: bool,
    pub processes: usize,
    pub fault: Fault,
    /// Whose way is hit, where it is a way.
    pub hits: Vec<usize>,
    /// After the first request may have been sent.
    pub at: Duration,
    pub lasts: Duration,
    pub requests: Vec<Request>,
}

/// A request and its clients.
#[derive(Debug, Clone)]
pub struct Request {
    pub order: Order,
    pub callers: Vec<Caller>,
    /// Somebody sends the same key with another amount while it runs.
    pub is_meddled_with: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// After the round has begun.
    pub at: Duration,
    /// Which service it asks first.
    pub first: usize,
    pub manner: Manner,
}

impl Request {
    /// Whether its effect and its record are one transaction.
    pub fn is_transaction(&self) -> bool {
        self.order.path == PAYMENTS
    }
}

impl Round {
    pub fn new(seed: u64, number: u64) -> Self {
        let mut rng = Rng::of_round(seed, number);
        let lease = rng.between(1_000, 2_001);
        let processes = if rng.chance(50) { 2 } else { 1 };
        let fault = rng.pick(&[Fault::Pause, Fault::Cut, Fault::BlackHole, Fault::Freeze, Fault::Restart]);
        let hits = if rng.chance(50) { (0..processes).collect() } else { vec![0] };
        let percent = match rng.below(10) {
            0..2 => rng.between(20, 31),
            2..5 => rng.between(31, 100),
            _ => rng.between(100, 300),
        };
        let (at, lasts) = (rng.between(50, 700), lease * percent / 100);
        let requests =
            (0..rng.between(4, 11)).map(|n| request(&mut rng, format!("{number}-{n}"), lease, at + lasts)).collect();
        Self {
            number,
            lease: Duration::from_millis(lease),
            store_timeout: Duration::from_millis(lease * rng.between(40, 200) / 100),
            acquire_timeout: Duration::from_millis(rng.pick(&[200, 1_000, 5_000])),
            pool: rng.pick(&[1, 2, 8]),
            tuned: rng.chance(50),
            processes,
            fault,
            hits,
            at: Duration::from_millis(at),
            lasts: Duration::from_millis(lasts),
            requests,
        }
    }

    pub fn setup(&self) -> Setup {
        let setup = Setup::new(self.pool, self.tuned).acquire_timeout(self.acquire_timeout);
        setup.lease(self.lease).store_timeout(self.store_timeout)
    }
}

fn request(rng: &mut Rng, key: String, lease: u64, back: u64) -> Request {
    let is_transaction = rng.chance(40);
    let after = if is_transaction {
        // In a transaction the lease is how long the handler may take.
        rng.milliseconds(lease / 2)
    } else if rng.chance(30) {
        rng.between(lease / 2, lease * 3 / 2)
    } else {
        rng.milliseconds(lease / 2)
    };
    let order = Order {
        path: if is_transaction { PAYMENTS } else { CHARGES },
        key,
        amount: rng.between(1, 50).cast_signed(),
        before: rng.milliseconds(30),
        within: if is_transaction { rng.milliseconds(30) } else { 0 },
        after,
    };
    let callers = (0..rng.between(1, 4))
        .map(|n| {
            let latest = if n == 0 { 600 } else { back + lease / 2 };
            Caller {
                at: Duration::from_millis(rng.below(latest)),
                first: usize::try_from(rng.below(2)).unwrap(),
                manner: Manner {
                    patience: Duration::from_millis(if rng.chance(50) {
                        60_000
                    } else {
                        rng.between(lease / 4, lease * 3 / 2)
                    }),
                    pause: Duration::from_millis(rng.between(20, lease / 3)),
                },
            }
        })
        .collect();
    // A transaction that was undone leaves nothing, so that there another request may well run.
    Request { order, callers, is_meddled_with: !is_transaction && rng.chance(40) }
}
