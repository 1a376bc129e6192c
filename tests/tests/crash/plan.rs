//! What a round does, all of it from a seed.

use std::time::Duration;

use cratestack_tests::fleet::{ACCOUNTS, Rng, Setup};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Postgres,
    Sqlite,
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The service; where there are two, the first.
    Service,
    /// Both services.
    Services,
    /// Postgres, by `-m immediate`.
    Immediate,
    /// The main process of Postgres, by SIGKILL.
    Postmaster,
    /// One session of Postgres, by SIGKILL, after which it restarts itself.
    Session,
    /// All sessions of the services, as an administrator ends them.
    Sessions,
    /// Postgres by `-m immediate`, and the service with it.
    Everything,
}

impl Fault {
    pub fn is_of_the_service(self) -> bool {
        matches!(self, Self::Service | Self::Services)
    }
}

#[derive(Debug, Clone)]
pub struct Round {
    pub requests: Vec<Request>,
    pub fault: Fault,
    /// After the first request was sent.
    pub at: Duration,
    /// How many services there are.
    pub services: usize,
    /// Of a service that is started.
    pub setup: Setup,
    /// Decides among what only the moment offers.
    pub chance: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A payment in a transaction.
    Payment,
    /// Money from one account to another, in a transaction.
    Transfer,
    /// A payment in a transaction at the service that is killed, and beside a reservation at the one that is not.
    Either,
    /// A payment beside a reservation.
    Reserved,
}

/// A request and its duplicates.
#[derive(Debug, Clone)]
pub struct Request {
    pub key: String,
    pub kind: Kind,
    pub path: &'static str,
    pub body: Value,
    /// It is declined, whoever runs it.
    pub declined: bool,
    pub tries: Vec<Try>,
}

#[derive(Debug, Clone)]
pub struct Try {
    /// After the round has begun.
    pub at: Duration,
    /// Which service it goes to.
    pub service: usize,
    /// The client is gone then.
    pub hangs_up: Option<Duration>,
}

impl Round {
    pub fn new(seed: u64, number: u64, database: Database, of_the_service: bool) -> Self {
        let mut rng = Rng::of_round(seed, number);
        let services = if rng.chance(50) { 2 } else { 1 };
        let fault = if of_the_service {
            if services == 2 && rng.chance(20) { Fault::Services } else { Fault::Service }
        } else {
            rng.pick(&[Fault::Immediate, Fault::Postmaster, Fault::Session, Fault::Sessions, Fault::Everything])
        };
        let either = fault == Fault::Service && services == 2;
        let requests: Vec<_> = (0..=rng.below(5))
            .map(|n| {
                let kind = kind(&mut rng, either);
                request(&mut rng, format!("{number}-{n}"), kind, database, services)
            })
            .collect();
        let at =
            if rng.chance(60) { end_of_one(&mut rng, &requests) } else { Duration::from_micros(rng.below(30_000)) };
        Self {
            requests,
            fault,
            at,
            services,
            setup: Setup::new(rng.pick(&[1, 2, 8]), rng.chance(50)),
            chance: rng.any(),
        }
    }
}

/// About when one of the requests is recorded and committed, if nothing is in its way.
fn end_of_one(rng: &mut Rng, requests: &[Request]) -> Duration {
    let Request { tries, body, .. } = &requests[usize::try_from(rng.below(requests.len() as u64)).unwrap()];
    let sent = tries.iter().map(|attempt| attempt.at).min().unwrap_or_default();
    let takes: u64 = ["before", "within", "after"].iter().filter_map(|part| body[part].as_u64()).sum();
    sent + Duration::from_millis(takes) + Duration::from_micros(rng.below(20_000))
}

fn kind(rng: &mut Rng, either: bool) -> Kind {
    match rng.below(100) {
        40..60 if either => Kind::Either,
        0..60 => Kind::Payment,
        60..85 => Kind::Transfer,
        _ => Kind::Reserved,
    }
}

fn request(rng: &mut Rng, key: String, kind: Kind, database: Database, services: usize) -> Request {
    let path = match kind {
        Kind::Payment => rng.pick(&["/transaction/payments", "/waiting/payments"]),
        Kind::Transfer => rng.pick(&["/transaction/transfers", "/serializable/transfers"]),
        Kind::Either => "/beside/payments",
        Kind::Reserved => "/reservation/payments",
    };
    let declined = matches!(kind, Kind::Payment | Kind::Transfer) && rng.chance(15);
    let source = rng.below(ACCOUNTS as u64);
    let body = json!({
        "key": key,
        "amount": 1 + rng.below(50),
        "source": source,
        "target": (source + 1 + rng.below(ACCOUNTS as u64 - 1)) % ACCOUNTS as u64,
        "before": rng.milliseconds(8),
        "within": if database == Database::Postgres { rng.milliseconds(8) } else { 0 },
        "after": rng.milliseconds(8),
        "declined": declined,
    });
    let tries = (0..=rng.below(4))
        .map(|_| Try {
            at: Duration::from_micros(rng.below(15_000)),
            service: usize::try_from(rng.below(services as u64)).unwrap(),
            hangs_up: rng.chance(10).then(|| Duration::from_micros(rng.below(20_000))),
        })
        .collect();
    Request { key, kind, path, body, declined, tries }
}
