//! A service, the wire before it, and a client on the other side.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::client::Answer;
use crate::programs::{Client, Intent, Mode, Told};
use crate::service::{Service, Settings};
use crate::till::Till;
use crate::wire::{Trouble, Try, Wire};

pub const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

const PAYMENT: &str = r#"{"amount":1200,"currency":"EUR"}"#;

/// Longer than anything takes that is not to run into it.
const TIMEOUT: u32 = 30;

enum Behind {
    /// `cargo run --example payments`.
    Example(Service),
    Till(Till),
}

/// Which handler is paid at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handler {
    Payments,
    /// Of the example's shop: what it writes and the record are one commit.
    Transaction,
}

pub struct Stage {
    behind: Behind,
    handler: Handler,
    wire: Wire,
    client: Client,
}

/// What came of one intent.
#[derive(Debug)]
pub struct Outcome {
    pub told: Told,
    pub tries: Vec<Try>,
    pub effects: usize,
}

impl Stage {
    /// The example, or for Stripe's SDKs what looks like Stripe.
    pub async fn service(client: Client, script: &[Trouble]) -> Self {
        if client.is_stripe() {
            return Self::till(client, false, script).await;
        }
        let service = Service::start(Settings::new()).await;
        let wire = Wire::before(service.address(), script).await;
        Self { behind: Behind::Example(service), handler: Handler::Payments, wire, client }
    }

    /// The same, with a handler whose effect and record are one commit, in a process that comes back after a crash.
    pub async fn transaction(client: Client, script: &[Trouble]) -> Self {
        if client.is_stripe() {
            return Self::till(client, false, script).await;
        }
        let service = Service::start(Settings::new().set("SUPERVISE", "1")).await;
        let wire = Wire::before(service.address(), script).await;
        Self { behind: Behind::Example(service), handler: Handler::Transaction, wire, client }
    }

    /// The till, which can hold a handler; with `waits`, a duplicate waits for its outcome.
    pub async fn till(client: Client, waits: bool, script: &[Trouble]) -> Self {
        let till = Till::start(match (client.is_stripe(), waits) {
            (false, false) => &[],
            (false, true) => &[("WAITS", "1")],
            (true, false) => &[("SHAPE", "stripe")],
            (true, true) => &[("SHAPE", "stripe"), ("WAITS", "1")],
        })
        .await;
        Self::before(till, client, script).await
    }

    pub async fn before(till: Till, client: Client, script: &[Trouble]) -> Self {
        let wire = Wire::before(till.address(), script).await;
        Self { behind: Behind::Till(till), handler: Handler::Payments, wire, client }
    }

    /// The test itself sends the request that the client is about to send, and the till holds it.
    pub async fn hold_a_first(&self) -> JoinHandle<Answer> {
        let Behind::Till(till) = &self.behind else { panic!("only the till can hold a handler") };
        let request = till.client().post("/payments").key(KEY).header("held", "1");
        let request = request.header("content-type", "application/json").body(PAYMENT);
        let first = tokio::spawn(async move { request.send().await.expect("the till answers") });
        while till.client().get("/held").send().await.expect("the till answers").body != "1" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        first
    }

    pub async fn pay(&self, mode: Mode) -> Outcome {
        self.pay_within(mode, TIMEOUT).await
    }

    /// With a timeout of so many seconds.
    pub async fn pay_within(&self, mode: Mode, timeout: u32) -> Outcome {
        let (path, payment) = match (self.handler, self.client.is_stripe()) {
            (_, true) => ("", r#"{"amount": 1200, "currency": "eur"}"#),
            (Handler::Payments, false) => ("/payments", PAYMENT),
            (Handler::Transaction, false) => ("/shop/transaction", r#"{"shop":7,"number":1,"amount":1200}"#),
        };
        let intent = Intent { url: format!("{}{path}", self.wire.url()), key: KEY, payment, timeout };
        let told = self.client.pay(mode, &intent).await;
        Outcome { told, tries: self.wire.tries(), effects: self.effects().await }
    }

    async fn effects(&self) -> usize {
        let service = match &self.behind {
            Behind::Till(till) => return till.effects().await,
            Behind::Example(service) => service.client(),
        };
        let path = if self.handler == Handler::Payments { "/payments" } else { "/shop/ledger?shop=7" };
        let ledger: Answer = service.get(path).send().await.expect("the example answers");
        ledger.json().as_array().expect("a list").len()
    }
}

impl Outcome {
    pub fn resent(&self) -> bool {
        self.tries.len() > 1
    }

    pub fn statuses(&self) -> Vec<Option<u16>> {
        self.tries.iter().map(|attempt| attempt.answered.as_ref().map(|answered| answered.status.as_u16())).collect()
    }

    /// However many tries there were: one key, one content type, the same bytes.
    #[track_caller]
    pub fn assert_same_request(&self) {
        let first = &self.tries[0];
        assert!(first.key.as_ref().is_some_and(|key| !key.is_empty()), "{self:?}");
        for attempt in &self.tries {
            assert_eq!(
                (&attempt.key, &attempt.content_type, &attempt.target, &attempt.body),
                (&first.key, &first.content_type, &first.target, &first.body),
            );
        }
    }

    /// One effect, and the caller was told of it: by what the wire last passed, whole.
    #[track_caller]
    pub fn assert_paid_once(&self) {
        self.assert_same_request();
        assert_eq!(self.effects, 1, "{self:?}");
        assert!(self.told.error.is_none() && matches!(self.told.status, Some(200 | 201)), "{self:?}");
        assert!(self.told.body.as_ref().is_some_and(|body| body.contains("1200")), "{self:?}");
    }

    #[track_caller]
    pub fn assert_ends_with_a_replay(&self) {
        let last = self.tries.last().and_then(|attempt| attempt.answered.as_ref());
        assert!(last.is_some_and(|answered| answered.is_replay), "{self:?}");
    }

    /// Between the answer to the first try and the second try.
    pub fn pause(&self) -> Duration {
        let answered = self.tries[0].answered.as_ref().expect("the first try was answered").at;
        self.tries[1].arrived.duration_since(answered)
    }
}
