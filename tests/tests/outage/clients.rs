//! Clients that ask until they have a final answer.

use std::time::Duration;

use cratestack_tests::{Answer, Client};
use serde_json::json;
use tokio::time::{Instant, sleep};

/// Far more than a database needs to come back and whatever waited for it to be written.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const CHARGES: &str = "/leased/charges";
pub const PAYMENTS: &str = "/leased/payments";

/// A request; the times are in milliseconds.
#[derive(Debug, Clone)]
pub struct Order {
    pub path: &'static str,
    pub key: String,
    pub amount: i64,
    pub before: u64,
    pub within: u64,
    pub after: u64,
}

impl Order {
    /// That takes no time.
    pub fn new(path: &'static str, key: impl Into<String>) -> Self {
        Self { path, key: key.into(), amount: 50, before: 0, within: 0, after: 0 }
    }

    /// The same key with another amount.
    pub fn with_another_amount(&self) -> Self {
        Self { amount: self.amount + 1, ..self.clone() }
    }
}

/// What came back from one request.
#[derive(Debug)]
pub enum Heard {
    /// What a handler answered, at first hand or replayed.
    Outcome(Answer),
    /// The key belongs to another request.
    Conflict,
    /// Ask again: the key is in flight, or a transaction of it was undone.
    InFlight,
    /// Ask again: there is no store, or nobody knows.
    Unavailable,
    /// The client has hung up.
    HungUp,
    CutOff,
    Wrong(String),
}

pub async fn send(client: Client, order: &Order, patience: Duration) -> Heard {
    let Order { path, key, amount, before, within, after } = order;
    let body = json!({
        "key": key, "amount": amount, "before": before, "within": within, "after": after, "declined": false,
    });
    let sending = client.post(path).key(key).header("authorization", "Bearer teller").json(&body);
    let answer = match sending.hang_up_after(patience).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return Heard::HungUp,
        Err(_) => return Heard::CutOff,
    };
    if answer.headers.contains_key("x-run") {
        return Heard::Outcome(answer);
    }
    match (answer.status.as_u16(), &*answer.code()) {
        (422, "idempotency_key_conflict") => Heard::Conflict,
        (409, code) if code.starts_with("idempotency_") => Heard::InFlight,
        (503, code) if code.starts_with("idempotency_") => Heard::Unavailable,
        _ => Heard::Wrong(format!("an answer that is neither an outcome nor for the moment: {answer:?}")),
    }
}

/// How a client goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// It hangs up after this, and asks again.
    pub patience: Duration,
    /// Between two attempts.
    pub pause: Duration,
}

/// What a client has come to, and what it heard on the way.
#[derive(Debug, Clone)]
pub struct Told {
    /// `None` where the key belongs to another request.
    pub answer: Result<Option<Answer>, String>,
    pub sent: u64,
    pub in_flight: u64,
    pub unavailable: u64,
    pub hung_up: u64,
    pub cut_off: u64,
    /// When it was told to ask again for the last time.
    pub put_off: Option<Instant>,
}

impl Told {
    pub fn outcome(&self) -> Option<&Answer> {
        self.answer.as_ref().ok()?.as_ref()
    }
}

/// Asks until there is a final answer, each time at the next of the services.
pub async fn until_told(clients: &[Client], order: &Order, manner: Manner) -> Told {
    let deadline = Instant::now() + PATIENCE;
    let mut told =
        Told { answer: Ok(None), sent: 0, in_flight: 0, unavailable: 0, hung_up: 0, cut_off: 0, put_off: None };
    for client in clients.iter().cycle() {
        told.sent += 1;
        let counted = match send(*client, order, manner.patience).await {
            Heard::Outcome(answer) => {
                told.answer = Ok(Some(answer));
                break;
            }
            Heard::Conflict => break,
            Heard::Wrong(what) => {
                told.answer = Err(what);
                break;
            }
            Heard::InFlight => &mut told.in_flight,
            Heard::Unavailable => &mut told.unavailable,
            Heard::HungUp => &mut told.hung_up,
            Heard::CutOff => &mut told.cut_off,
        };
        *counted += 1;
        told.put_off = Some(Instant::now());
        if Instant::now() > deadline {
            told.answer = Err(format!("stuck: no final answer within {PATIENCE:?}"));
            break;
        }
        sleep(manner.pause).await;
    }
    told
}
