//! Clients that ask until they have an answer.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use cratestack_schema::redis::KeyPrefix;
use cratestack_tests::{
    Answer, RedisCluster,
    fleet::{Recorded, Rng},
};
use futures_util::{StreamExt as _, stream};
use redis::cluster_routing::Slot;
use serde_json::json;
use tokio::time::sleep;

use crate::banks::Banks;

/// Far more than the Cluster needs to be well again, and a lease.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// All keys are in so many slots, so that those that move are those that are paid by.
const SLOTS: u16 = 96;

pub struct Shop {
    pub seed: u64,
    pub banks: Banks,
    /// Whose keys they are, as the service names it to its store.
    principal: String,
    slots: HashMap<Slot, u16>,
}

/// What a client pays for, and what it was told of it.
#[derive(Debug)]
pub struct Payment {
    pub key: String,
    pub amount: i64,
    pub slot: u16,
    /// How long the handler takes, in milliseconds: before its effect is noted, and after it.
    before: u64,
    after: u64,
    /// The client asks two services at once.
    twice: bool,
    pub told: Vec<Told>,
    /// Told once all was over.
    pub audit: Option<Told>,
    pub wrong: Option<String>,
}

/// An outcome.
#[derive(Debug)]
pub struct Told {
    pub sent: Instant,
    pub heard: Instant,
    /// The run of the handler whose outcome it is.
    pub run: String,
    /// The amount that was charged.
    pub amount: i64,
    pub outcome: Recorded,
}

impl Shop {
    pub async fn open(seed: u64, banks: Banks, cluster: &RedisCluster) -> Self {
        let numbers = (0..SLOTS).map(|n| n * (16_384 / SLOTS));
        let slots = numbers.map(|number| (Slot::new(number).unwrap(), number)).collect();
        let mut shop = Self { seed, banks, principal: String::new(), slots };
        let mut first = Payment::new("first".to_owned(), 0, &mut Rng::new(seed));
        shop.settle(&mut first, 0).await;
        assert!(first.wrong.is_none(), "{first:?}");
        for primary in cluster.primaries().await {
            let name: Option<Vec<u8>> = cluster.servers()[primary].tell("RANDOMKEY").await;
            if let Some((principal, _)) = name.and_then(|name| KeyPrefix::default().split(&name)) {
                shop.principal = principal;
            }
        }
        assert!(!shop.principal.is_empty(), "the key of the first payment lies on the Cluster");
        shop
    }

    pub fn slots(&self) -> Vec<u16> {
        let mut slots: Vec<_> = self.slots.values().copied().collect();
        slots.sort_unstable();
        slots
    }

    /// A key in one of the slots.
    fn key(&self, name: &str) -> (String, u16) {
        let prefix = KeyPrefix::default();
        let in_slots = |nth: u32| {
            let key = format!("{name}-{nth}");
            let slot = self.slots.get(&Slot::for_key(prefix.key(&self.principal, &key)))?;
            Some((key, *slot))
        };
        (0..).find_map(in_slots).unwrap()
    }

    /// Asks one service after the other until there is an outcome.
    async fn ask(&self, payment: &Payment, first: usize) -> Result<Told, String> {
        let Payment { key, amount, before, after, .. } = payment;
        let body =
            json!({"key": key, "amount": amount, "before": before, "within": 0, "after": after, "declined": false});
        let begun = Instant::now();
        let mut last = None;
        for service in first.. {
            if begun.elapsed() > PATIENCE {
                return Err(format!("stuck: no outcome within {PATIENCE:?}, only {last:?}"));
            }
            let sent = Instant::now();
            let client = self.banks.client(service);
            let sending = client.post("/leased/charges").key(key).header("authorization", "Bearer teller").json(&body);
            match sending.send().await {
                Ok(answer) if answer.headers.contains_key("x-run") => return Ok(Told::of(sent, &answer)),
                Ok(answer) if may_be_asked_again(&answer) => last = Some(answer),
                Ok(answer) => {
                    return Err(format!("an answer that is neither an outcome nor for the moment: {answer:?}"));
                }
                // The service was killed, and may have done it or not.
                Err(_) => {}
            }
            sleep(PAUSE).await;
        }
        unreachable!("there is always another service")
    }

    async fn settle(&self, payment: &mut Payment, first: usize) {
        let told = if payment.twice {
            let (one, other) = tokio::join!(self.ask(payment, first), self.ask(payment, first + 1));
            vec![one, other]
        } else {
            vec![self.ask(payment, first).await]
        };
        for told in told {
            match told {
                Ok(told) => payment.told.push(told),
                Err(wrong) => payment.wrong = Some(wrong),
            }
        }
    }
}

impl Payment {
    fn new(key: String, slot: u16, rng: &mut Rng) -> Self {
        Self {
            key,
            amount: i64::try_from(rng.between(1, 1_000_000)).unwrap(),
            slot,
            before: rng.milliseconds(30),
            after: rng.milliseconds(60),
            twice: rng.chance(25),
            told: Vec::new(),
            audit: None,
            wrong: None,
        }
    }

    pub fn all_told(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().chain(&self.audit)
    }
}

impl Told {
    fn of(sent: Instant, answer: &Answer) -> Self {
        let body = answer.json();
        Self {
            sent,
            heard: Instant::now(),
            run: body["run"].as_str().unwrap_or_default().to_owned(),
            amount: body["amount"].as_i64().unwrap_or_default(),
            outcome: Recorded::told(answer),
        }
    }
}

fn may_be_asked_again(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 409 | 503) && answer.code().starts_with("idempotency_")
}

/// One payment after the other.
pub async fn pay_until(shop: Arc<Shop>, name: String, mut rng: Rng, end: Instant) -> Vec<Payment> {
    let mut payments = Vec::new();
    while Instant::now() < end {
        let (key, slot) = shop.key(&format!("{name}-{}", payments.len()));
        let mut payment = Payment::new(key, slot, &mut rng);
        let service = usize::try_from(rng.below(1_000)).unwrap();
        shop.settle(&mut payment, service).await;
        payments.push(payment);
    }
    payments
}

/// Asks for each once more: what was told is told again, and whatever has been forgotten runs again.
pub async fn audit(shop: &Shop, payments: Vec<Payment>) -> Vec<Payment> {
    let again = payments.into_iter().enumerate().map(|(n, mut payment)| async move {
        match shop.ask(&payment, n).await {
            Ok(told) => payment.audit = Some(told),
            Err(wrong) => payment.wrong = Some(wrong),
        }
        payment
    });
    stream::iter(again).buffer_unordered(64).collect().await
}
