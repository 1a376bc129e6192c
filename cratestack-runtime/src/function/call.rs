use std::sync::Arc;

use super::error::GuardError;
use super::run::GuardedFunction;
use crate::engine::Participant;
use crate::handle::{
    Idempotency, KeyPart, Options, PartHasher, Presence, ReservationSlot, function_key, of_expression, of_function,
    record_id,
};

/// One call of a guarded function, before its body runs.
pub struct FunctionCall {
    idempotency: Idempotency,
    name: &'static str,
    options: Options,
    /// `None` where the expression has come to nothing.
    key: Option<String>,
    /// As above; without an expression it is the function itself.
    principal: Option<String>,
    request_hash: [u8; 32],
    /// Where the body writes in a transaction.
    participant: Option<Arc<dyn Participant<()>>>,
}

impl FunctionCall {
    /// A call of the function of this name.
    pub fn new(handle: impl Into<Idempotency>, name: &'static str, options: Options) -> Self {
        let idempotency = handle.into();
        let principal = Some(of_function(name));
        Self { idempotency, name, options, key: None, principal, request_hash: hash(name, None), participant: None }
    }

    /// `key = EXPR`
    pub fn key(&mut self, part: &(impl KeyPart + ?Sized)) {
        let is_absent = part.presence() == Presence::Absent;
        self.key = (!is_absent).then(|| function_key(self.name, part));
    }

    /// `principal = EXPR`
    pub fn principal(&mut self, part: &(impl KeyPart + ?Sized)) {
        let is_present = part.presence() == Presence::Present;
        self.principal = is_present.then(|| of_expression(part));
    }

    /// `fingerprint = EXPR`
    pub fn fingerprint(&mut self, part: &(impl KeyPart + ?Sized)) {
        // Its own type is no matter of the hash, so that one copy of the code serves all.
        self.request_hash = hash(self.name, Some(&|hasher| part.feed(hasher)));
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn in_transaction_of(mut self, participant: Arc<dyn Participant<()>>) -> Self {
        self.participant = Some(participant);
        self
    }

    /// What the call claims, and how its body runs.
    pub(super) fn guarded(self) -> Result<GuardedFunction, GuardError> {
        let Self { idempotency, name, options, key, principal, request_hash, participant } = self;
        let key = key.ok_or(GuardError::KeyMissing { function: name })?;
        let principal = principal.ok_or(GuardError::PrincipalMissing { function: name })?;
        let settings = idempotency.settings();
        let id = record_id(settings.namespace.as_deref(), &principal, &key);
        let claim = options.claim(settings, id, request_hash);
        let policy = options.policy(settings);
        let slot = ReservationSlot::of(&idempotency);
        Ok(GuardedFunction { idempotency, name, options, claim, policy, slot, participant })
    }
}

/// What a later call with the key must have in common with the first. The name is part of the key too; here it keeps
/// a function's rows from being taken for a request's.
fn hash(name: &str, fingerprint: Option<&dyn Fn(&mut PartHasher)>) -> [u8; 32] {
    let mut hasher = PartHasher::new("function");
    name.feed(&mut hasher);
    fingerprint.is_some().feed(&mut hasher);
    if let Some(fingerprint) = fingerprint {
        fingerprint(&mut hasher);
    }
    hasher.finish()
}
