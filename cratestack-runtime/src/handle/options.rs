use std::time::Duration;

use super::settings::{OnStoreError, Settings};
use crate::engine::{OwnedClaim, Policy};
use crate::store::{Isolation, RecordId};

/// A shorter lease would be renewed more often than a store can answer.
const MIN_LEASE: Duration = Duration::from_millis(30);

/// What the attribute says, as the generated code hands it over.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub(crate) ttl: Option<Duration>,
    pub(crate) lease: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) optional: bool,
    pub(crate) record_success: bool,
    pub(crate) run_on_store_error: Option<bool>,
    pub(crate) isolation: Isolation,
    pub(crate) retries: u32,
    pub(crate) commit_all: bool,
}

impl Options {
    /// An attribute that says nothing.
    pub const fn new() -> Self {
        Self {
            ttl: None,
            lease: None,
            wait: None,
            optional: false,
            record_success: false,
            run_on_store_error: None,
            isolation: Isolation::Default,
            retries: 0,
            commit_all: false,
        }
    }

    /// `ttl = "…"`
    #[must_use]
    pub const fn ttl_ms(mut self, milliseconds: u64) -> Self {
        self.ttl = Some(Duration::from_millis(milliseconds));
        self
    }

    /// `lease = "…"`
    #[must_use]
    pub const fn lease_ms(mut self, milliseconds: u64) -> Self {
        self.lease = Some(Duration::from_millis(milliseconds));
        self
    }

    /// `wait = "…"`
    #[must_use]
    pub const fn wait_ms(mut self, milliseconds: u64) -> Self {
        self.wait = Some(Duration::from_millis(milliseconds));
        self
    }

    /// `optional`
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// `record = success`
    #[must_use]
    pub const fn record_success(mut self) -> Self {
        self.record_success = true;
        self
    }

    /// `on_store_error = run`, or `refuse`
    #[must_use]
    pub const fn run_on_store_error(mut self, run: bool) -> Self {
        self.run_on_store_error = Some(run);
        self
    }

    /// `isolation = read_committed`
    #[must_use]
    pub const fn read_committed(mut self) -> Self {
        self.isolation = Isolation::ReadCommitted;
        self
    }

    /// `isolation = repeatable_read`
    #[must_use]
    pub const fn repeatable_read(mut self) -> Self {
        self.isolation = Isolation::RepeatableRead;
        self
    }

    /// `isolation = serializable`
    #[must_use]
    pub const fn serializable(mut self) -> Self {
        self.isolation = Isolation::Serializable;
        self
    }

    /// `retry = …`
    #[must_use]
    pub const fn retry(mut self, times: u32) -> Self {
        self.retries = times;
        self
    }

    /// `commit = all`
    #[must_use]
    pub const fn commit_all(mut self) -> Self {
        self.commit_all = true;
        self
    }

    /// What a request claims under these options, and where they say nothing, under its handle's settings.
    pub(crate) fn claim(&self, settings: &Settings, id: RecordId, request_hash: [u8; 32]) -> OwnedClaim {
        let retention = self.ttl.unwrap_or(settings.ttl);
        OwnedClaim { id, request_hash, lease: self.lease(settings).min(retention), retention }
    }

    pub(crate) fn lease(&self, settings: &Settings) -> Duration {
        self.lease.unwrap_or(settings.lease).max(MIN_LEASE)
    }

    pub(crate) fn policy(&self, settings: &Settings) -> Policy {
        Policy {
            store_timeout: settings.store_timeout,
            wait: self.wait.unwrap_or_default(),
            run_unreserved: self.run_on_store_error.unwrap_or(settings.on_store_error == OnStoreError::Run),
        }
    }
}
