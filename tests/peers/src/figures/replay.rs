//! A retry of what has finished, asked of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use cratestack_axum::idempotency as peer;
use cratestack_runtime::{Claim, ClaimOutcome, IdempotencyStore, PostgresStore, async_trait};
use cratestack_sqlx::SqlxIdempotencyStore;

use crate::Fallible;
use crate::figure::{Contender, Figure, Limit, Measure};
use crate::load::{Call, Load, drive};
use crate::sample::{Quantity, Sample};
use crate::server::{Ours, Theirs};
use crate::traffic::{BODY, HASH, LEASE, PRINCIPAL, RETENTION, recorded, recorded_key};

/// So many that no run asks for one twice.
const RECORDED: usize = 200_000;
/// So few that each was asked for before the run begins.
const SEEN: usize = 1_000;

pub async fn replay(ours: Arc<Ours>, theirs: Arc<Theirs>) -> Fallible<Vec<Figure>> {
    eprintln!("recording {RECORDED} outcomes to replay");
    ours.execute(&recorded(RECORDED)).await?;
    theirs.execute(&recorded(RECORDED)).await?;
    let figure = |which: Which, least: f64| Figure {
        name: match which {
            Which::New => "replay-postgres-16".to_owned(),
            Which::Seen => "replay-seen-16".to_owned(),
        },
        title: match which {
            Which::New => "replay from Postgres, 16 callers".to_owned(),
            Which::Seen => "replay of an outcome that this process has seen before, 16 callers".to_owned(),
        },
        callers: 16,
        rate: None,
        contenders: vec![
            Box::new(OurReplay { which, store: ours.store(), at: Arc::clone(&ours) }),
            Box::new(TheirReplay { which, store: theirs.store(), _at: Arc::clone(&theirs) }),
        ],
        measures: vec![
            Measure::ratio(Quantity::Throughput, Limit::AtLeast(least)),
            Measure::ratio(Quantity::P50, None),
            Measure::ratio(Quantity::P99, None),
        ],
    };
    Ok(vec![figure(Which::New, 1.6), figure(Which::Seen, 20.0)])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    New,
    Seen,
}

impl Which {
    /// The `n`th key to ask for: neighbours in time are none in the index.
    fn key(self, n: usize) -> Option<String> {
        match self {
            Self::New if n >= RECORDED => None,
            Self::New => Some(recorded_key(n * 7_919 % RECORDED)),
            Self::Seen => Some(recorded_key(n % SEEN)),
        }
    }
}

struct OurReplay {
    which: Which,
    store: PostgresStore,
    at: Arc<Ours>,
}

#[async_trait]
impl Contender for OurReplay {
    fn name(&self) -> String {
        "ours".to_owned()
    }

    async fn prepare(&self) -> Fallible {
        if self.which == Which::Seen {
            for n in 0..SEEN {
                our_replay(&self.store, &recorded_key(n)).await?;
            }
        }
        Ok(())
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let which = self.which;
        // What a store has seen is seen no more by a new one.
        let store = if which == Which::New { self.at.store() } else { self.store.clone() };
        let next = Arc::new(AtomicUsize::new(0));
        drive(load, move || {
            let (store, key) = (store.clone(), which.key(next.fetch_add(1, Ordering::Relaxed)));
            async move {
                let Some(key) = key else { return Ok(Call::Exhausted) };
                let begun = Instant::now();
                our_replay(&store, &key).await?;
                Ok(Call::Took(begun.elapsed()))
            }
        })
        .await
    }
}

async fn our_replay(store: &PostgresStore, key: &str) -> Fallible {
    let claim = Claim { principal: PRINCIPAL, key, request_hash: HASH, lease: LEASE, retention: RETENTION };
    match store.reserve(claim).await? {
        ClaimOutcome::Replay(record) if record.response_body.len() == BODY.len() => Ok(()),
        other => Err(format!("a recorded outcome was not replayed: {other:?}").into()),
    }
}

struct TheirReplay {
    which: Which,
    store: SqlxIdempotencyStore,
    /// Its database goes with it.
    _at: Arc<Theirs>,
}

#[async_trait]
impl Contender for TheirReplay {
    fn name(&self) -> String {
        "cratestack-sqlx".to_owned()
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let (which, store) = (self.which, self.store.clone());
        let next = Arc::new(AtomicUsize::new(0));
        drive(load, move || {
            let (store, key) = (store.clone(), which.key(next.fetch_add(1, Ordering::Relaxed)));
            async move {
                use peer::IdempotencyStore as _;
                let Some(key) = key else { return Ok(Call::Exhausted) };
                let begun = Instant::now();
                match store.reserve_or_fetch(PRINCIPAL, &key, HASH, SystemTime::now() + RETENTION).await? {
                    peer::ReservationOutcome::Replay(record) if record.response_body.len() == BODY.len() => {}
                    other => return Err(format!("a recorded outcome was not replayed: {other:?}").into()),
                }
                Ok(Call::Took(begun.elapsed()))
            }
        })
        .await
    }
}
