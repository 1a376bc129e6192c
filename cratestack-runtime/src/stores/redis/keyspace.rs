//! Where the records of a store lie, and the calls about one.

use std::sync::Arc;

use cratestack_schema::redis::KeyPrefix;
use redis::Value;
use uuid::Uuid;

use super::acknowledgement::Acknowledgement;
use super::command::{Asked, Command, Kind, ScriptCall};
use super::script::{RECORD_STEP, RENEW, RESERVE, STEPS};
use super::server::Server;
use crate::store::{Claim, Completion, RecordIdRef, StepRecord};
use crate::stores::time::{Tick, Times};

pub(super) const TICK: Tick = Tick::Millisecond;

/// A server, and what the names of the store's keys begin with.
#[derive(Debug, Clone)]
pub(super) struct Keyspace {
    pub(super) server: Arc<Server>,
    pub(super) prefix: KeyPrefix,
    pub(super) acknowledgement: Acknowledgement,
}

impl Keyspace {
    pub(super) fn name(&self, id: RecordIdRef<'_>) -> String {
        self.prefix.key(id.principal, id.key)
    }

    /// Whether a script is to write where it would only read: `WAIT` waits for what its connection has written.
    fn writes_anyway(&self) -> &'static str {
        if self.acknowledgement.is_asked_for() { "1" } else { "0" }
    }

    pub(super) fn reserve(&self, claim: &Claim<'_>) -> ScriptCall {
        let Times { lease, retention } = TICK.reservation(claim.lease, claim.retention);
        let token = Uuid::new_v4();
        let command = Command::new(&RESERVE, &self.name(claim.id()), Kind::Reserve)
            .arg(&claim.request_hash)
            .arg(token.as_bytes())
            .arg(lease)
            .arg(retention)
            .arg(self.writes_anyway());
        ScriptCall::new(command).with_reservation(Asked { token, request_hash: claim.request_hash })
    }

    pub(super) fn finish(&self, completion: &Completion<'_>) -> ScriptCall {
        let Completion { token, status, headers, body, .. } = *completion;
        let command = Command::new(&self.server.waking_scripts().finish, &self.name(completion.id()), Kind::Write)
            .arg(token.as_bytes())
            .arg(status)
            .arg(headers)
            .arg(&**body)
            .arg(self.writes_anyway());
        ScriptCall::new(command).with_bytes(headers.len() + body.len()).urgently()
    }

    pub(super) fn release(&self, id: RecordIdRef<'_>, token: Uuid) -> ScriptCall {
        let script = &self.server.waking_scripts().release;
        ScriptCall::new(Command::new(script, &self.name(id), Kind::Other).arg(token.as_bytes())).urgently()
    }

    pub(super) fn renew(&self, id: RecordIdRef<'_>, token: Uuid, times: Times) -> ScriptCall {
        let command = Command::new(&RENEW, &self.name(id), Kind::Write)
            .arg(token.as_bytes())
            .arg(times.lease)
            .arg(times.retention);
        ScriptCall::new(command).urgently()
    }

    pub(super) fn record_step(&self, step: &StepRecord<'_>) -> ScriptCall {
        let command = Command::new(&RECORD_STEP, &self.name(step.id()), Kind::Write)
            .arg(step.token.as_bytes())
            .arg(step.name)
            .arg(step.value);
        ScriptCall::new(command).with_bytes(step.name.len() + step.value.len()).urgently()
    }

    pub(super) fn steps(&self, id: RecordIdRef<'_>, token: Uuid) -> ScriptCall {
        ScriptCall::new(Command::new(&STEPS, &self.name(id), Kind::Other).arg(token.as_bytes()))
    }
}

/// Whether a script has answered that it wrote something, by this call or an earlier one.
pub(super) fn is_written(answer: &Value) -> bool {
    matches!(answer, Value::Int(1))
}
