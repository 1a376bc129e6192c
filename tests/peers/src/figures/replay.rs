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

pub async fn replay(ours: Arc<Ours>, theirs: Arc<Theirs>) -> Fallible<Vec<Figure>> {
    eprintln!("recording {RECORDED} outcomes to replay");
    ours.execute(&recorded(RECORDED)).await?;
    theirs.execute(&recorded(RECORDED)).await?;
    Ok(vec![Figure {
        name: "replay-postgres-16".to_owned(),
        title: "replay from Postgres, callers: 16".to_owned(),
        callers: 16,
        rate: None,
        contenders: vec![
            Box::new(OurReplay { store: ours.store(), _at: ours }),
            Box::new(TheirReplay { store: theirs.store(), _at: theirs }),
        ],
        measures: vec![
            Measure::ratio(Quantity::Throughput, Limit::AtLeast(1.6)),
            Measure::ratio(Quantity::P50, None),
            Measure::ratio(Quantity::P99, None),
        ],
    }])
}

/// The `n`th key to ask for: neighbours in time are none in the index.
fn key(n: usize) -> Option<String> {
    (n < RECORDED).then(|| recorded_key(n * 7_919 % RECORDED))
}

struct OurReplay {
    store: PostgresStore,
    /// Its database goes with it.
    _at: Arc<Ours>,
}

#[async_trait]
impl Contender for OurReplay {
    fn name(&self) -> String {
        "ours".to_owned()
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let store = self.store.clone();
        let next = Arc::new(AtomicUsize::new(0));
        drive(load, move || {
            let (store, key) = (store.clone(), key(next.fetch_add(1, Ordering::Relaxed)));
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
    store: SqlxIdempotencyStore,
    _at: Arc<Theirs>,
}

#[async_trait]
impl Contender for TheirReplay {
    fn name(&self) -> String {
        "cratestack-sqlx".to_owned()
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let store = self.store.clone();
        let next = Arc::new(AtomicUsize::new(0));
        drive(load, move || {
            let (store, key) = (store.clone(), key(next.fetch_add(1, Ordering::Relaxed)));
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
