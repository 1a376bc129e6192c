//! The attribute on a function that is no handler: on one that owns its arguments, and on one that borrows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cratestack_runtime::{GuardError, Idempotency, Reservation, StepError};
use serde::{Deserialize, Serialize};

use crate::door::{Door, Outcome, Terms};
use crate::work::{Failure, Work};

/// What a function returns beside a value. What the guard says is never recorded.
#[derive(Debug, Serialize, Deserialize)]
pub enum FunctionError {
    Failed(u64),
    #[serde(skip)]
    Guard(GuardError),
}

impl From<Failure> for FunctionError {
    fn from(Failure(number): Failure) -> Self {
        Self::Failed(number)
    }
}

impl From<StepError> for FunctionError {
    fn from(error: StepError) -> Self {
        panic!("a step fails: {error}")
    }
}

impl From<GuardError> for FunctionError {
    fn from(error: GuardError) -> Self {
        Self::Guard(error)
    }
}

/// One call. Its principal, key and payload are what a request bears.
#[derive(Clone)]
struct Call {
    idempotency: Idempotency,
    work: Work,
    principal: String,
    key: String,
    payload: String,
    /// That the body runs for this very call: a result does not tell whether it is a replay.
    has_run: Arc<AtomicBool>,
}

impl Call {
    async fn run(&self, reservation: &Reservation) -> Result<u64, FunctionError> {
        self.has_run.store(true, Ordering::SeqCst);
        Ok(self.work.run(reservation).await?)
    }

    fn outcome(has_run: &AtomicBool, result: Result<u64, FunctionError>) -> Outcome {
        match result {
            Ok(value) if has_run.load(Ordering::SeqCst) => Outcome::Fresh(value),
            Ok(value) => Outcome::Replayed(value),
            Err(FunctionError::Failed(value)) => Outcome::Failed(value),
            Err(FunctionError::Guard(error)) => match error {
                GuardError::InFlight { .. } => Outcome::InFlight,
                GuardError::Conflict { .. } => Outcome::Conflict,
                GuardError::StoreUnavailable { .. } => Outcome::Unavailable,
                GuardError::Panicked { .. } => Outcome::Panicked,
                GuardError::Lost { .. } => Outcome::Lost,
                other => panic!("no outcome of this operation: {other}"),
            },
        }
    }
}

/// A function for each of the terms, with arguments of this type.
macro_rules! functions {
    ($module:ident: $call:ty) => {
        mod $module {
            use super::{Call, FunctionError};
            use crate::door::Terms;
            use cratestack_runtime::{Reservation, idempotent};

            functions! { @ plain, $call, record = success }
            functions! { @ errors_recorded, $call, record = all }
            functions! { @ waits, $call, wait = "1m" }
            functions! { @ runs_without_store, $call, on_store_error = run }

            pub async fn call(terms: Terms, call: $call) -> Result<u64, FunctionError> {
                match terms {
                    Terms::Plain => plain(call).await,
                    Terms::ErrorsRecorded => errors_recorded(call).await,
                    Terms::Waits => waits(call).await,
                    Terms::RunsWithoutStore => runs_without_store(call).await,
                }
            }
        }
    };
    (@ $name:ident, $call:ty, $($option:tt)*) => {
        #[idempotent(
            handle = call.idempotency,
            name = "work",
            principal = call.principal,
            key = call.key,
            fingerprint = call.payload,
            $($option)*
        )]
        async fn $name(call: $call, reservation: Reservation) -> Result<u64, FunctionError> {
            call.run(&reservation).await
        }
    };
}

functions! { owning: Call }
functions! { borrowing: &Call }

#[derive(Clone)]
struct Opened {
    idempotency: Idempotency,
    work: Work,
    terms: Terms,
}

impl Opened {
    fn call(&self, principal: &str, key: &str, payload: &str) -> Call {
        Call {
            idempotency: self.idempotency.clone(),
            work: self.work.clone(),
            principal: principal.to_owned(),
            key: key.to_owned(),
            payload: payload.to_owned(),
            has_run: Arc::default(),
        }
    }
}

/// It owns what it works with, and so runs on a task of its own.
#[derive(Clone)]
pub struct Function(Opened);

impl Door for Function {
    fn open(idempotency: Idempotency, work: Work, terms: Terms) -> Self {
        Self(Opened { idempotency, work, terms })
    }

    async fn call(&self, principal: &str, key: &str, payload: &str) -> Outcome {
        let call = self.0.call(principal, key, payload);
        let has_run = Arc::clone(&call.has_run);
        Call::outcome(&has_run, owning::call(self.0.terms, call).await)
    }
}

/// It borrows what it works with, and so runs where it is called.
#[derive(Clone)]
pub struct BorrowingFunction(Opened);

impl Door for BorrowingFunction {
    fn open(idempotency: Idempotency, work: Work, terms: Terms) -> Self {
        Self(Opened { idempotency, work, terms })
    }

    async fn call(&self, principal: &str, key: &str, payload: &str) -> Outcome {
        let call = self.0.call(principal, key, payload);
        Call::outcome(&call.has_run, borrowing::call(self.0.terms, &call).await)
    }
}
