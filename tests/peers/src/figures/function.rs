//! Calls of a function that is no handler, beside the guarded handler: what is left of the guard without a request.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use axum::Router;
use cratestack_runtime::{GuardError, Idempotency, MemoryStore, async_trait, idempotent};
use serde::{Deserialize, Serialize};

use super::requests::{alone, answered_in, guarded};
use crate::Fallible;
use crate::figure::{Contender, Figure, Limit, Measure};
use crate::load::Load;
use crate::sample::{Quantity, Sample};
use crate::traffic::{BODY, new_key};

/// Of a kibibyte, as the handler's is.
static MESSAGE: LazyLock<String> = LazyLock::new(|| "r".repeat(1024));
static RECEIPT: LazyLock<String> = LazyLock::new(|| "x".repeat(BODY.len()));

#[derive(Serialize, Deserialize)]
struct Receipt {
    status: u16,
    location: String,
    body: String,
}

/// As `pay` of the requests does it. An error is what guarded functions may have.
#[allow(clippy::unnecessary_wraps)]
fn pay(message: &str) -> Result<Receipt, GuardError> {
    assert_eq!(message.len(), MESSAGE.len());
    Ok(Receipt { status: 201, location: "/payments/8e03978e".to_owned(), body: RECEIPT.clone() })
}

// Without an `await`, as the handler is.
#[allow(clippy::unused_async)]
#[idempotent(handle = handle, name = "pay", key = key, fingerprint = message)]
async fn borrowing(handle: &Idempotency, key: &str, message: &str) -> Result<Receipt, GuardError> {
    pay(message)
}

#[allow(clippy::unused_async)]
#[idempotent(handle = handle, name = "pay", key = key, fingerprint = message)]
async fn owning(handle: Idempotency, key: String, message: String) -> Result<Receipt, GuardError> {
    pay(&message)
}

/// The guard of a function alone: one call after the other on one thread.
pub fn function() -> Figure {
    let contenders = [Way::Borrowing, Way::Handler, Way::Bare, Way::Owning];
    Figure {
        name: "guard-function-memory".to_owned(),
        title: "a guarded function beside the guarded handler, memory store, 1 KiB, one thread".to_owned(),
        callers: 1,
        rate: None,
        contenders: contenders.map(|way| Box::new(way) as Box<dyn Contender>).into(),
        measures: vec![
            Measure::ratio(Quantity::P50, Limit::AtMost(1.0)),
            Measure::difference(Quantity::P50, None).against(2),
            Measure::difference(Quantity::Allocations, None).against(2),
            Measure::ratio(Quantity::P50, None).against(3),
        ],
    }
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Borrowing,
    Owning,
    Handler,
    Bare,
}

impl Way {
    /// One call of a new key, and how long it took.
    async fn call(self, handle: &Idempotency, router: &Router) -> Fallible<Duration> {
        let key = new_key();
        if let Self::Handler = self {
            return answered_in(router, &key).await;
        }
        let (key, message) = (key, MESSAGE.clone());
        let begun = Instant::now();
        let receipt = match self {
            Self::Borrowing => borrowing(handle, &key, &message).await,
            Self::Owning => owning(handle.clone(), key, message).await,
            Self::Bare | Self::Handler => pay(&message),
        };
        let took = begun.elapsed();
        assert_eq!(receipt?.body.len(), BODY.len());
        Ok(took)
    }
}

#[async_trait]
impl Contender for Way {
    fn name(&self) -> String {
        match self {
            Self::Borrowing => "our function, MemoryStore",
            Self::Owning => "our function on a task of its own",
            Self::Handler => "our handler, MemoryStore",
            Self::Bare => "the bare function",
        }
        .to_owned()
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let way = *self;
        let handle = Idempotency::new(MemoryStore::new());
        let router = guarded(handle.clone());
        tokio::task::spawn_blocking(move || alone(load.lasting, async || way.call(&handle, &router).await)).await?
    }
}
