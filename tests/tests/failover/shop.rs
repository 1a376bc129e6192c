//! A guarded function, the ledger that knows how often it had its effect, and its clients.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use cratestack_runtime::{EventKind, GuardError, Idempotency, IdempotencyStore, Reservation, idempotent};
use cratestack_tests::fleet::Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::{task::JoinSet, time::sleep};

/// A client that was refused asks again after this.
const RETRY_AFTER: Duration = Duration::from_millis(25);
/// Far more than a lease and an outage take.
const PATIENCE: Duration = Duration::from_mins(3);
/// Clients that ask again when all is over.
const RETRIERS: usize = 32;

/// What a run tells its client. No two runs tell the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub run: u64,
}

/// A run that had its effect.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub run: u64,
    /// The server knew of no earlier one, or had said of an earlier one that its outcome is recorded.
    pub is_first_to_the_server: bool,
}

/// The books of the test, which no server has: the effects of each key.
#[derive(Debug, Default)]
pub struct Ledger {
    last: AtomicU64,
    runs: Mutex<HashMap<String, Vec<Run>>>,
    /// As events tell it: the digests of the keys whose outcomes servers have acknowledged.
    recorded: Mutex<HashSet<String>>,
}

impl Ledger {
    fn enter(&self, key: &str, reservation: &Reservation) -> Receipt {
        let run = self.last.fetch_add(1, SeqCst) + 1;
        // A record that is there counts the takeovers of those whose lease ended.
        let is_first_to_the_server = reservation.attempt() == 1 || self.is_recorded(reservation.key());
        self.runs.lock().unwrap().entry(key.to_owned()).or_default().push(Run { run, is_first_to_the_server });
        Receipt { run }
    }

    fn is_recorded(&self, key: &str) -> bool {
        let mut digest = String::new();
        for byte in &Sha256::digest(key)[..8] {
            write!(digest, "{byte:02x}").unwrap();
        }
        self.recorded.lock().unwrap().contains(&digest)
    }

    pub fn knows_what_is_recorded(&self) -> bool {
        !self.recorded.lock().unwrap().is_empty()
    }

    pub fn runs(&self, key: &str) -> Vec<Run> {
        self.runs.lock().unwrap().get(key).cloned().unwrap_or_default()
    }
}

/// One process of the service.
#[derive(Clone)]
pub struct Shop {
    idempotency: Idempotency,
    ledger: Arc<Ledger>,
}

impl Shop {
    pub fn over(store: impl IdempotencyStore, lease: Duration, ledger: &Arc<Ledger>) -> Self {
        let books = Arc::clone(ledger);
        let idempotency = Idempotency::new(store).ttl(Duration::from_mins(10)).lease(lease).on_event(move |event| {
            if let EventKind::Recorded { .. } = event.kind {
                books.recorded.lock().unwrap().insert(event.key.to_owned());
            }
        });
        Self { idempotency, ledger: Arc::clone(ledger) }
    }
}

#[idempotent(name = "pay", handle = shop.idempotency, key = key)]
async fn pay(shop: Shop, key: String, pauses: [u64; 2], reservation: Reservation) -> Result<Receipt, GuardError> {
    sleep(Duration::from_millis(pauses[0])).await;
    let receipt = shop.ledger.enter(&key, &reservation);
    sleep(Duration::from_millis(pauses[1])).await;
    Ok(receipt)
}

/// What clients were told of a key.
#[derive(Debug)]
pub struct Told {
    pub key: String,
    /// Before the end of the load; none where its client had no outcome by then.
    pub first: Option<u64>,
    /// By another process, when all was over.
    pub then: u64,
}

/// What clients have seen of an outage.
#[derive(Debug, Default)]
pub struct Watch {
    struck: OnceLock<Instant>,
    back: OnceLock<Duration>,
    is_over: AtomicBool,
    /// Outcomes.
    told: AtomicU64,
    /// Answers that the store is unavailable.
    refused: AtomicU64,
}

impl Watch {
    /// The servers are lost.
    pub fn strike(&self) {
        self.struck.set(Instant::now()).expect("a round has one outage");
    }

    /// How long until a call was served that began after the loss.
    pub fn back(&self) -> Option<Duration> {
        self.back.get().copied()
    }

    pub fn told(&self) -> u64 {
        self.told.load(SeqCst)
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(SeqCst)
    }

    /// No further keys.
    pub fn stop(&self) {
        self.is_over.store(true, SeqCst);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    fn served(&self, begun: Instant) {
        if let Some(struck) = self.struck.get().filter(|struck| begun >= **struck) {
            self.back.get_or_init(|| struck.elapsed());
        }
    }

    /// None where the client has to ask again.
    async fn ask(&self, shop: &Shop, key: &str, rng: &mut Rng) -> Result<Option<u64>, String> {
        let begun = Instant::now();
        let pauses = [rng.milliseconds(4), rng.milliseconds(4)];
        match pay(shop.clone(), key.to_owned(), pauses).await {
            Ok(receipt) => {
                self.served(begun);
                self.told.fetch_add(1, SeqCst);
                Ok(Some(receipt.run))
            }
            Err(GuardError::InFlight { .. } | GuardError::Lost { .. }) => Ok(None),
            Err(GuardError::StoreUnavailable { .. }) => {
                self.refused.fetch_add(1, SeqCst);
                Ok(None)
            }
            Err(other) => Err(format!("an answer that no outage explains: {other:?}, of the key {key}")),
        }
    }
}

/// How clients ask.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// So many at each process.
    pub callers: usize,
    /// Between an outcome and the next key, from 0 to this many milliseconds.
    pub pause: u64,
}

type Asked = Vec<(String, usize, Option<u64>)>;

/// Clients of all processes, who take one new key after another.
pub fn load(
    shops: &[Shop],
    watch: &Arc<Watch>,
    load: Load,
    round: u64,
    rng: &mut Rng,
) -> JoinSet<Result<Asked, String>> {
    let mut callers = JoinSet::new();
    for (process, shop) in shops.iter().enumerate() {
        for caller in 0..load.callers {
            let (shop, watch, rng) = (shop.clone(), Arc::clone(watch), Rng::new(rng.any()));
            callers.spawn(async move {
                call(shop, process, &format!("{round}-{process}-{caller}"), &watch, load.pause, rng).await
            });
        }
    }
    callers
}

async fn call(
    shop: Shop,
    process: usize,
    caller: &str,
    watch: &Watch,
    pause: u64,
    mut rng: Rng,
) -> Result<Asked, String> {
    let mut asked = Asked::new();
    sleep(Duration::from_millis(rng.below(pause + 1))).await;
    while !watch.is_over() {
        let key = format!("{caller}-{}", asked.len());
        let mut outcome = watch.ask(&shop, &key, &mut rng).await?;
        while outcome.is_none() && !watch.is_over() {
            sleep(RETRY_AFTER).await;
            outcome = watch.ask(&shop, &key, &mut rng).await?;
        }
        asked.push((key, process, outcome));
        sleep(Duration::from_millis(rng.below(pause + 1))).await;
    }
    Ok(asked)
}

/// Every client asks again, each at another process than before, until it is told.
pub async fn retry(shops: &[Shop], watch: &Arc<Watch>, asked: Asked, rng: &mut Rng) -> Result<Vec<Told>, String> {
    let mut retrying = JoinSet::new();
    let mut asked = asked.into_iter();
    let each = asked.len().div_ceil(RETRIERS).max(1);
    loop {
        let share: Asked = asked.by_ref().take(each).collect();
        if share.is_empty() {
            break;
        }
        let (shops, watch, mut rng) = (shops.to_vec(), Arc::clone(watch), Rng::new(rng.any()));
        retrying.spawn(async move { retry_each(&shops, &watch, share, &mut rng).await });
    }
    let mut told = Vec::new();
    while let Some(some) = retrying.join_next().await {
        told.extend(some.expect("a client does not panic")?);
    }
    Ok(told)
}

/// Those that must wait do so after all others were asked once.
async fn retry_each(shops: &[Shop], watch: &Watch, mut asked: Asked, rng: &mut Rng) -> Result<Vec<Told>, String> {
    let begun = Instant::now();
    let mut told = Vec::new();
    while !asked.is_empty() {
        let mut later = Asked::new();
        for (key, process, first) in asked {
            let shop = &shops[(process + 1) % shops.len()];
            match watch.ask(shop, &key, rng).await? {
                Some(then) => told.push(Told { key, first, then }),
                None => later.push((key, process, first)),
            }
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("stuck: no outcome within {PATIENCE:?}: {later:?}"));
        }
        if !later.is_empty() {
            sleep(RETRY_AFTER * 4).await;
        }
        asked = later;
    }
    Ok(told)
}
