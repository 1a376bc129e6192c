//! Reserve, then complete: what a new request costs the store.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use cratestack_axum::idempotency as peer;
use cratestack_runtime::{Claim, ClaimOutcome, Completion, IdempotencyStore, PostgresStore, Tenure, async_trait};
use cratestack_sqlx::SqlxIdempotencyStore;

use crate::Fallible;
use crate::figure::{Contender, Figure, Limit, Measure};
use crate::load::{Call, Load, drive};
use crate::sample::{Quantity, Sample};
use crate::server::{Ours, Theirs};
use crate::traffic::{BODY, HASH, HEADERS, LEASE, PRINCIPAL, RETENTION, STATUS, new_key};

pub fn store(ours: &Arc<Ours>, theirs: &Arc<Theirs>) -> Vec<Figure> {
    let not_worse = |least| {
        vec![
            Measure::ratio(Quantity::Throughput, Limit::AtLeast(least)),
            Measure::ratio(Quantity::P50, Limit::AtMost(1.0)),
            Measure::ratio(Quantity::P99, Limit::AtMost(1.0)),
        ]
    };
    let faster = |least| {
        vec![
            Measure::ratio(Quantity::Throughput, Limit::AtLeast(least)),
            Measure::ratio(Quantity::P50, None),
            Measure::ratio(Quantity::P99, None),
        ]
    };
    [(1, not_worse(1.0)), (16, not_worse(1.0)), (64, faster(2.5)), (256, faster(5.0))]
        .into_iter()
        .map(|(callers, measures)| Figure {
            name: format!("store-{callers}"),
            title: format!("reserve + complete, {callers} callers"),
            callers,
            rate: None,
            contenders: vec![
                Box::new(OurStore { at: Arc::clone(ours), store: ours.store() }),
                Box::new(TheirStore { at: Arc::clone(theirs), store: theirs.store() }),
            ],
            measures,
        })
        .collect()
}

struct OurStore {
    at: Arc<Ours>,
    store: PostgresStore,
}

#[async_trait]
impl Contender for OurStore {
    fn name(&self) -> String {
        "ours".to_owned()
    }

    async fn prepare(&self) -> Fallible {
        self.at.empty().await
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let store = self.store.clone();
        drive(load, move || {
            let store = store.clone();
            async move {
                let key = new_key();
                let begun = Instant::now();
                our_round(&store, &key).await?;
                Ok(Call::Took(begun.elapsed()))
            }
        })
        .await
    }
}

pub async fn our_round(store: &PostgresStore, key: &str) -> Fallible {
    let claim = Claim { principal: PRINCIPAL, key, request_hash: HASH, lease: LEASE, retention: RETENTION };
    let ClaimOutcome::Reserved { token, .. } = store.reserve(claim).await? else {
        return Err("a new key was not reserved".into());
    };
    let completion = Completion { principal: PRINCIPAL, key, token, status: STATUS, headers: &HEADERS, body: &BODY };
    match store.finish(completion).await? {
        Tenure::Held => Ok(()),
        other => Err(format!("an outcome was not recorded: {other:?}").into()),
    }
}

struct TheirStore {
    at: Arc<Theirs>,
    store: SqlxIdempotencyStore,
}

#[async_trait]
impl Contender for TheirStore {
    fn name(&self) -> String {
        "cratestack-sqlx".to_owned()
    }

    async fn prepare(&self) -> Fallible {
        self.at.empty().await
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let store = self.store.clone();
        drive(load, move || {
            let store = store.clone();
            async move {
                let key = new_key();
                let begun = Instant::now();
                their_round(&store, &key).await?;
                Ok(Call::Took(begun.elapsed()))
            }
        })
        .await
    }
}

pub async fn their_round(store: &SqlxIdempotencyStore, key: &str) -> Fallible {
    use peer::IdempotencyStore as _;
    let expires_at = SystemTime::now() + RETENTION;
    let reserved = store.reserve_or_fetch(PRINCIPAL, key, HASH, expires_at).await.map_err(|error| error.to_string())?;
    let peer::ReservationOutcome::Reserved { token } = reserved else {
        return Err("a new key was not reserved".into());
    };
    store.complete(PRINCIPAL, key, token, STATUS, &HEADERS, &BODY).await.map_err(|error| error.to_string())?;
    Ok(())
}
