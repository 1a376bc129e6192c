use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cratestack_runtime::{Reservation, StepError};
use tokio::sync::Notify;
use uuid::Uuid;

/// What stands behind a door: it counts how often it has had its effect, and does next what it is told.
#[derive(Clone, Default)]
pub struct Work(Arc<Inner>);

#[derive(Default)]
struct Inner {
    effects: AtomicU64,
    charges: AtomicU64,
    script: Mutex<VecDeque<Next>>,
    attempts: Mutex<Vec<Attempt>>,
    is_waiting: Notify,
    gate: Notify,
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It waits at the gate, and then has its effect.
    Wait,
    /// It has its effect, and returns an error.
    Fail,
    /// It panics without an effect.
    Panic,
    /// It has finished a step, and panics without an effect.
    PanicAfterStep,
}

/// What a run knew of its reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub principal: String,
    pub key: String,
    pub token: Uuid,
    pub derived: Uuid,
}

/// The error of a run, with the number of its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure(pub u64);

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        panic!("a step fails: {error}")
    }
}

impl Work {
    /// What runs to come do, one after the other; those after them have their effect and succeed.
    pub fn will(&self, next: &[Next]) {
        self.0.script.lock().unwrap().extend(next);
    }

    pub fn effects(&self) -> u64 {
        self.0.effects.load(Ordering::SeqCst)
    }

    /// How often the step was done.
    pub fn charges(&self) -> u64 {
        self.0.charges.load(Ordering::SeqCst)
    }

    pub fn attempts(&self) -> Vec<Attempt> {
        self.0.attempts.lock().unwrap().clone()
    }

    /// Returns once a run waits at the gate.
    pub async fn waits(&self) {
        self.0.is_waiting.notified().await;
    }

    /// Lets one run pass that waits.
    pub fn goes_on(&self) {
        self.0.gate.notify_one();
    }

    /// One run. Its value is the number of its effect.
    pub async fn run(&self, reservation: &Reservation) -> Result<u64, Failure> {
        self.0.attempts.lock().unwrap().push(Attempt {
            principal: reservation.principal().to_owned(),
            key: reservation.key().to_owned(),
            token: reservation.token(),
            derived: reservation.derive("charge"),
        });
        let next = self.0.script.lock().unwrap().pop_front();
        assert_ne!(next, Some(Next::Panic), "told to panic");
        let number =
            reservation.step("charge", async || Ok::<_, Failure>(self.0.charges.fetch_add(1, Ordering::SeqCst) + 1));
        let charged = number.await?;
        assert!(charged > 0 && next != Some(Next::PanicAfterStep), "told to panic");
        if next == Some(Next::Wait) {
            self.0.is_waiting.notify_one();
            self.0.gate.notified().await;
        }
        let effect = self.0.effects.fetch_add(1, Ordering::SeqCst) + 1;
        if next == Some(Next::Fail) { Err(Failure(effect)) } else { Ok(effect) }
    }
}
