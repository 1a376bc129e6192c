//! The steps of one run: what it has done and recorded, so that its next attempt does not do it again.
//!
//! ```text
//! run, attempt 1    charge: done, recorded ── ship: done ── dies
//! run, attempt 2    asks for the steps ── charge: recorded, so it is not done ── ship: done again, recorded ── outcome
//! ```
//!
//! A first attempt asks for nothing. A step is begun only while the run's lease lasts, counted from before its last
//! confirmed renewal was sent; and it is recorded only under the run's own token, which the store looks at once it has
//! the row. A run that stalls between the two may do a step that another run does as well; only one of them records it.

mod error;

use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::lease::handle::LeaseWatch;
use super::lease::renewal::RenewalTarget;
use super::store_call::{store_call, too_late};
use crate::store::{LeaseState, StepRecord, StoreError};
use crate::util::{lock, timeout};
pub use error::StepError;

/// The most that the value of one step may have, in bytes.
pub(crate) const MAX_STEP_BYTES: usize = 1 << 20;

/// With so many bytes of steps a run begins no other. An SQL store writes all of them anew with each step that it
/// appends; at this size that takes as long as some hundred steps of an empty row.
const MAX_RUN_BYTES: usize = 1 << 20;

/// What a step takes beside its name and value.
const STEP_OVERHEAD_BYTES: usize = 8;

/// The pause between two calls of a store that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The steps of a run, as its work sees them.
#[derive(Debug)]
pub(crate) struct RunSteps {
    target: RenewalTarget,
    lease: LeaseWatch,
    /// Created by the first step.
    progress: OnceLock<Box<Progress>>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Every step that this run has begun, and where.
    begun: Mutex<HashMap<String, &'static Location<'static>>>,
    /// What the attempts before this one have recorded.
    recorded: OnceCell<HashMap<String, Vec<u8>>>,
    /// How many steps are recorded of this run and those before it, and the bytes that they take.
    kept: Mutex<Kept>,
    /// A step was begun that gave no value, for which its closure is not to blame.
    has_failed: AtomicBool,
    /// A statement of a transaction step's closure failed, which may have been a deadlock's victim.
    was_given_up: AtomicBool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Kept {
    steps: usize,
    bytes: usize,
}

impl Kept {
    fn add(&mut self, name: &str, value: &[u8]) {
        self.steps += 1;
        self.bytes += STEP_OVERHEAD_BYTES + name.len() + value.len();
    }
}

impl RunSteps {
    pub(super) fn of(target: &RenewalTarget, lease: LeaseWatch) -> Self {
        Self { target: target.clone(), lease, progress: OnceLock::new() }
    }

    /// The reservation that the steps are recorded under, and its lease.
    pub(super) fn lease(&self) -> (RenewalTarget, LeaseWatch) {
        (self.target.clone(), self.lease)
    }

    fn progress(&self) -> &Progress {
        self.progress.get_or_init(Box::default)
    }

    /// Whether the run has met a [`StepError`], so that an error of its is no outcome.
    pub(crate) fn have_failed(&self) -> bool {
        self.progress.get().is_some_and(|progress| progress.has_failed.load(Ordering::Relaxed))
    }

    /// Whether the database has given a step's transaction up, so that an error that does not tell why is no outcome.
    pub(crate) fn were_given_up(&self) -> bool {
        self.progress.get().is_some_and(|progress| progress.was_given_up.load(Ordering::Relaxed))
    }

    /// Takes note that the database has given a step's transaction up.
    pub(crate) fn given_up(&self) {
        self.progress().was_given_up.store(true, Ordering::Relaxed);
    }

    /// What an earlier attempt has recorded of the step; or `None`, and the step is to be done now.
    pub(crate) async fn begin(&self, name: &str, at: &'static Location<'static>) -> Result<Option<Vec<u8>>, StepError> {
        self.failing(self.try_begin(name, at).await)
    }

    /// A step's closure has succeeded. Unless it is recorded after that, the run's key is not given back: another
    /// request would then have an effect beside this one.
    pub(crate) fn is_done(&self) {
        self.lease.step_is_done();
    }

    /// Records the value of a step that was done.
    pub(crate) async fn record(&self, name: &str, value: &[u8]) -> Result<(), StepError> {
        self.failing(self.try_record(name, value).await)?;
        self.lease.step_is_recorded();
        self.is_kept(name, value);
        Ok(())
    }

    /// A step is recorded, which counts towards what is kept of one run.
    pub(crate) fn is_kept(&self, name: &str, value: &[u8]) {
        lock(&self.progress().kept).add(name, value);
    }

    /// Takes note of an error.
    pub(crate) fn failing<T>(&self, result: Result<T, StepError>) -> Result<T, StepError> {
        if result.is_err() {
            self.progress().has_failed.store(true, Ordering::Relaxed);
        }
        result
    }

    async fn try_begin(&self, name: &str, at: &'static Location<'static>) -> Result<Option<Vec<u8>>, StepError> {
        if !self.target.store.keeps_steps() {
            return Err(of_store(name, StoreError::Unsupported("keep steps")));
        }
        let progress = self.progress();
        if let Some(first) = lock(&progress.begun).insert(name.to_owned(), at) {
            return Err(StepError::Repeated { name: name.to_owned(), first, second: at });
        }
        if self.target.hold.attempt > 1 {
            let recorded = progress.recorded.get_or_try_init(|| self.fetch()).await;
            if let Some(value) = recorded.map_err(|error| of_store(name, error))?.get(name) {
                return Ok(Some(value.clone()));
            }
        }
        let Kept { steps, bytes } = *lock(&progress.kept);
        if bytes >= MAX_RUN_BYTES {
            return Err(StepError::TooMany { name: name.to_owned(), steps, bytes, limit: MAX_RUN_BYTES });
        }
        if self.lease.lasts() { Ok(None) } else { Err(StepError::Lost { name: name.to_owned() }) }
    }

    async fn fetch(&self) -> Result<HashMap<String, Vec<u8>>, StoreError> {
        let RenewalTarget { store, hold, .. } = &self.target;
        let id = &hold.claim.id;
        let steps = self.until_there(|| store.steps(id.principal(), id.key(), hold.token)).await?;
        for step in &steps {
            self.is_kept(&step.name, &step.value);
        }
        Ok(steps.into_iter().map(|step| (step.name, step.value)).collect())
    }

    async fn try_record(&self, name: &str, value: &[u8]) -> Result<(), StepError> {
        check_size(name, value)?;
        let RenewalTarget { store, hold, .. } = &self.target;
        let (principal, key, token) = (hold.claim.id.principal(), hold.claim.id.key(), hold.token);
        let step = StepRecord { principal, key, token, name, value };
        match self.until_there(|| store.record_step(step)).await {
            Ok(LeaseState::Held | LeaseState::Unknown) => Ok(()),
            Ok(LeaseState::Lost) => {
                self.lease.lose();
                Err(StepError::Lost { name: name.to_owned() })
            }
            Err(error) => Err(of_store(name, error)),
        }
    }

    /// Calls a store that may be away again, for as long as a lease lasts: each of these calls can be made any number
    /// of times.
    pub(super) async fn until_there<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        let lease = self.target.hold.claim.lease;
        let until = Instant::now() + lease;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, store_call(call())).await {
                Ok(Err(StoreError::Unavailable(_))) if left > RETRY_PAUSE => tokio::time::sleep(RETRY_PAUSE).await,
                Ok(answer) => return answer,
                Err(_) => return Err(too_late(lease)),
            }
        }
    }
}

/// Whether a value is not too large to be recorded.
pub(super) fn check_size(name: &str, value: &[u8]) -> Result<(), StepError> {
    let (bytes, limit) = (value.len(), MAX_STEP_BYTES);
    if bytes > limit { Err(StepError::TooLarge { name: name.to_owned(), bytes, limit }) } else { Ok(()) }
}

tokio::task_local! {
    /// The name of the transaction step that the task is in.
    static WITHIN: String;
}

/// Runs the work of a transaction step.
pub(super) async fn within_transaction<T>(name: String, work: impl Future<Output = T>) -> T {
    WITHIN.scope(name, work).await
}

/// A step within the closure of a transaction step would be recorded although the transaction may be rolled back; and
/// where the database has one writer, it would wait for the very transaction that waits for it.
pub(crate) fn refuse_within_transaction(name: &str) -> Result<(), StepError> {
    match WITHIN.try_with(Clone::clone) {
        Ok(within) => Err(StepError::Nested { name: name.to_owned(), within }),
        Err(_) => Ok(()),
    }
}

fn of_store(name: &str, error: StoreError) -> StepError {
    StepError::Store { name: name.to_owned(), error }
}
