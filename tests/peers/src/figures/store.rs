//! Reserve, then complete: what a new request costs the store.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use cratestack_axum::idempotency as peer;
use cratestack_runtime::{Claim, ClaimOutcome, Completion, IdempotencyStore, LeaseState, PostgresStore, async_trait};
use cratestack_sqlx::SqlxIdempotencyStore;

use crate::Fallible;
use crate::figure::{Contender, Figure, Limit, Measure};
use crate::load::{Call, Load, drive};
use crate::sample::{Quantity, Sample};
use crate::server::{Ours, Theirs};
use crate::traffic::{BODY, HASH, HEADERS, LEASE, PRINCIPAL, RETENTION, STATUS, new_key};

pub fn store(ours: &Arc<Ours>, theirs: &Arc<Theirs>) -> Vec<Figure> {
    let figure = |callers: usize, least: Option<f64>| {
        // Over a network a lone caller's latency is the network's.
        let latency = if callers == 1 { Some(Limit::AtMost(1.0)) } else { None };
        Figure {
            name: format!("store-{callers}"),
            title: format!("reserve + complete, callers: {callers}"),
            callers,
            rate: None,
            contenders: vec![
                our_store("ours", Arc::clone(ours), true, &BODY),
                their_store(Arc::clone(theirs), &BODY),
                our_store("ours, group commit off", Arc::clone(ours), false, &BODY),
            ],
            measures: vec![
                Measure::ratio(Quantity::Throughput, least.map(Limit::AtLeast)),
                Measure::ratio(Quantity::P50, latency),
                Measure::ratio(Quantity::P99, latency),
                // Sharing statements is worth its wait, or there is none.
                Measure::ratio(Quantity::Throughput, None).against(2).over_network(Limit::AtLeast(1.0)),
            ],
        }
    };
    vec![
        figure(1, Some(1.0)),
        figure(4, None),
        figure(16, Some(1.4)),
        figure(32, None),
        figure(64, Some(3.5)),
        figure(256, Some(6.0)),
    ]
}

pub fn our_store(name: &'static str, at: Arc<Ours>, group_commit: bool, body: &Bytes) -> Box<dyn Contender> {
    Box::new(OurStore { name, store: at.store().group_commit(group_commit), at, body: body.clone() })
}

pub fn their_store(at: Arc<Theirs>, body: &Bytes) -> Box<dyn Contender> {
    Box::new(TheirStore { store: at.store(), at, body: body.clone() })
}

struct OurStore {
    name: &'static str,
    at: Arc<Ours>,
    store: PostgresStore,
    body: Bytes,
}

#[async_trait]
impl Contender for OurStore {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    async fn prepare(&self) -> Fallible {
        self.at.empty().await
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let (store, body) = (self.store.clone(), self.body.clone());
        drive(load, move || {
            let (store, body) = (store.clone(), body.clone());
            async move {
                let key = new_key();
                let begun = Instant::now();
                our_round(&store, &key, &body).await?;
                Ok(Call::Took(begun.elapsed()))
            }
        })
        .await
    }
}

pub async fn our_round(store: &impl IdempotencyStore, key: &str, body: &Bytes) -> Fallible {
    let claim = Claim { principal: PRINCIPAL, key, request_hash: HASH, lease: LEASE, retention: RETENTION };
    let ClaimOutcome::Reserved { token, .. } = store.reserve(claim).await? else {
        return Err("a new key was not reserved".into());
    };
    let completion = Completion { principal: PRINCIPAL, key, token, status: STATUS, headers: &HEADERS, body };
    match store.finish(completion).await? {
        LeaseState::Held => Ok(()),
        other => Err(format!("an outcome was not recorded: {other:?}").into()),
    }
}

struct TheirStore {
    at: Arc<Theirs>,
    store: SqlxIdempotencyStore,
    body: Bytes,
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
        let (store, body) = (self.store.clone(), self.body.clone());
        drive(load, move || {
            let (store, body) = (store.clone(), body.clone());
            async move {
                let key = new_key();
                let begun = Instant::now();
                their_round(&store, &key, &body).await?;
                Ok(Call::Took(begun.elapsed()))
            }
        })
        .await
    }
}

pub async fn their_round(store: &SqlxIdempotencyStore, key: &str, body: &Bytes) -> Fallible {
    use peer::IdempotencyStore as _;
    let expires_at = SystemTime::now() + RETENTION;
    let reserved = store.reserve_or_fetch(PRINCIPAL, key, HASH, expires_at).await.map_err(|error| error.to_string())?;
    let peer::ReservationOutcome::Reserved { token } = reserved else {
        return Err("a new key was not reserved".into());
    };
    store.complete(PRINCIPAL, key, token, STATUS, &HEADERS, body).await.map_err(|error| error.to_string())?;
    Ok(())
}
