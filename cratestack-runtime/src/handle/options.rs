use std::time::Duration;

use super::settings::{OnStoreError, Settings};
use crate::engine::{OwnedClaim, Policy, TransactionOptions};
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
    pub(crate) recorded: Recorded,
    pub(crate) run_on_store_error: Option<bool>,
    pub(crate) isolation: Isolation,
    pub(crate) retries: u32,
    pub(crate) commit_all: bool,
}

/// Which outcomes are kept; any other gives its key back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Recorded {
    #[default]
    All,
    /// 2xx and 3xx.
    Success,
    AllBut5xx,
}

impl Options {
    /// An attribute that says nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a request claims under these options, and where they say nothing, under its handle's settings.
    pub(crate) fn claim(&self, settings: &Settings, id: RecordId, request_hash: [u8; 32]) -> OwnedClaim {
        let retention = self.ttl.unwrap_or(settings.ttl);
        OwnedClaim { id, request_hash, lease: self.lease(settings).min(retention), retention }
    }

    pub(crate) fn lease(&self, settings: &Settings) -> Duration {
        self.lease.unwrap_or(settings.lease).max(MIN_LEASE)
    }

    /// How work runs in a transaction that has so long.
    pub(crate) fn transaction(&self, timeout: Duration) -> TransactionOptions {
        TransactionOptions { isolation: self.isolation, retries: self.retries, keep_all: self.commit_all, timeout }
    }

    pub(crate) fn policy(&self, settings: &Settings) -> Policy {
        Policy {
            store_timeout: settings.store_timeout,
            wait: self.wait.unwrap_or_default(),
            run_unreserved: self.run_on_store_error.unwrap_or(settings.on_store_error == OnStoreError::Run),
        }
    }
}

/// Builder methods: the option as the attribute has it, the method that the generated code calls, and what that sets.
macro_rules! builder {
    ($($(#[$option:meta])* $method:ident($($argument:ident: $type:ty)?) sets $field:ident = $value:expr;)*) => {
        impl Options {$(
            $(#[$option])*
            #[must_use]
            pub const fn $method(mut self $(, $argument: $type)?) -> Self {
                self.$field = $value;
                self
            }
        )*}
    };
}

builder! {
    /// `ttl = "…"`
    ttl_ms(milliseconds: u64) sets ttl = Some(Duration::from_millis(milliseconds));
    /// `lease = "…"`
    lease_ms(milliseconds: u64) sets lease = Some(Duration::from_millis(milliseconds));
    /// `wait = "…"`
    wait_ms(milliseconds: u64) sets wait = Some(Duration::from_millis(milliseconds));
    /// `optional`
    optional() sets optional = true;
    /// `record = success`
    record_success() sets recorded = Recorded::Success;
    /// `record = all_but_5xx`
    record_all_but_5xx() sets recorded = Recorded::AllBut5xx;
    /// `on_store_error = run`, or `refuse`
    run_on_store_error(run: bool) sets run_on_store_error = Some(run);
    /// `isolation = read_committed`
    read_committed() sets isolation = Isolation::ReadCommitted;
    /// `isolation = repeatable_read`
    repeatable_read() sets isolation = Isolation::RepeatableRead;
    /// `isolation = serializable`
    serializable() sets isolation = Isolation::Serializable;
    /// `retry = …`
    retry(times: u32) sets retries = times;
    /// `commit = all`
    commit_all() sets commit_all = true;
}
