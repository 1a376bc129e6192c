use std::sync::Arc;

use http::request::Parts;

use crate::handle::{Idempotency, Options, Recorded};
use crate::http::guard::{GuardedRequest, KeySource};
use crate::http::identity::BodyBound;

/// What a layer is to do, as its builder was told.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) idempotency: Idempotency,
    pub(super) options: Options,
    pub(super) body_limit: Option<usize>,
    pub(super) only: Option<Arc<Predicate>>,
    pub(super) key: Option<Arc<MakeKey>>,
    pub(super) principal: Option<Arc<Identify>>,
    pub(super) fingerprint: Option<Arc<Identify>>,
}

type Predicate = dyn Fn(&Parts) -> bool + Send + Sync;
type MakeKey = dyn Fn(&Parts) -> Option<String> + Send + Sync;
type Identify = dyn Fn(&Parts, &mut GuardedRequest) + Send + Sync;

impl Terms {
    /// Of a layer that was told nothing. It stands before services that it does not know, so what needs no key passes,
    /// and an error, which may have been answered before anything has happened, is no outcome.
    pub(super) fn over(idempotency: Idempotency) -> Self {
        Self {
            idempotency,
            options: Options { optional: true, recorded: Recorded::Success, ..Options::new() },
            body_limit: None,
            only: None,
            key: None,
            principal: None,
            fingerprint: None,
        }
    }

    pub(super) fn is_for(&self, parts: &Parts) -> bool {
        !parts.method.is_safe() && self.only.as_ref().is_none_or(|is_guarded| is_guarded(parts))
    }

    pub(super) fn key_source(&self, parts: &Parts) -> KeySource {
        self.key.as_ref().map_or(KeySource::Header, |key| KeySource::Given(key(parts)))
    }

    pub(super) fn identify(&self, parts: &Parts, request: &mut GuardedRequest) {
        for identify in [&self.principal, &self.fingerprint].into_iter().flatten() {
            identify(parts, request);
        }
    }

    pub(super) fn body_bound(&self) -> BodyBound {
        let bytes = self.body_limit.or(self.idempotency.http().max_request_bytes);
        bytes.map_or(BodyBound::OfAxum, BodyBound::BesideOthers)
    }
}
