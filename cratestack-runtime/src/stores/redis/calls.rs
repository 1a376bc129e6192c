//! Calls of scripts, and how they share a round trip.

use std::sync::Arc;

use redis::Value;
use uuid::Uuid;

use super::command::ScriptCall;
use super::keyspace::Keyspace;
use super::outcome::claim_outcome;
use super::server::Answered;
use crate::store::{ClaimOutcome, RecordId, RecordIdRef, StoreError};
use crate::stores::batch::{BatchQueue, Call, Grant, Operation, Pending};

/// The most commands of one pipeline. The server answers them in one go, so a long one holds up others.
const MAX_BATCH: usize = 128;

/// All scripts: any of them may stand beside any other in a pipeline.
pub(super) struct Scripts {
    pub(super) keyspace: Arc<Keyspace>,
    /// Where a reservation goes that nobody takes; none for the releases themselves.
    pub(super) releases: Option<BatchQueue<Self>>,
}

/// What a call of a script comes to.
#[expect(clippy::large_enum_variant, reason = "most answers are reservations")]
pub(super) enum Answer {
    Claim(Grant<Scripts>),
    Value(Value),
}

impl Answer {
    pub(super) fn into_claim(self) -> Result<ClaimOutcome, StoreError> {
        match self {
            Self::Claim(grant) => Ok(grant.take()),
            Self::Value(value) => Err(super::error::unexpected(&value)),
        }
    }

    pub(super) fn into_value(self) -> Result<Value, StoreError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Claim(_) => Err(StoreError::Internal("a script was answered as a reservation".to_owned())),
        }
    }
}

/// A [`ScriptCall`] as its caller lends it.
#[derive(Clone, Copy)]
pub(super) struct Lent<'a>(pub(super) &'a ScriptCall);

impl From<Lent<'_>> for ScriptCall {
    fn from(Lent(call): Lent<'_>) -> Self {
        call.clone()
    }
}

impl Call<Scripts> for Lent<'_> {
    fn bytes(self) -> usize {
        self.0.bytes
    }

    fn is_urgent(self) -> bool {
        self.0.is_urgent
    }

    async fn run_one(self, id: RecordIdRef<'_>, scripts: &Scripts) -> Result<Answer, StoreError> {
        let answered = scripts.keyspace.server.run_one(&self.0.command, scripts.keyspace.acknowledgement).await?;
        scripts.answer(self.0, &|| id.to_owned(), answered, false)
    }
}

impl Operation for Scripts {
    type Args = ScriptCall;
    type Answer = Answer;

    const MAX_BATCH: usize = MAX_BATCH;
    /// A pipeline does not wait for the one before it, so that waiting for a slot costs more than it saves, until calls
    /// come faster than they can be sent one by one.
    const BASE_SLOTS: usize = 8;
    const SLOTS_WHEN_CROWDED: usize = 8;

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        let answers = {
            let commands: Vec<_> = batch.iter().map(|call| &*call.args.command).collect();
            self.keyspace.server.run_many(&commands, self.keyspace.acknowledgement).await
        };
        for (call, answered) in batch.into_iter().zip(answers) {
            let answer = answered.and_then(|answered| self.answer(&call.args, &|| call.id.clone(), answered, true));
            call.answer(answer);
        }
    }
}

impl Scripts {
    /// What the caller is told. On its way to another task a reservation can miss its caller: then it is given back.
    fn answer(
        &self,
        call: &ScriptCall,
        id: &dyn Fn() -> RecordId,
        answered: Answered,
        is_in_transit: bool,
    ) -> Result<Answer, StoreError> {
        let Some(asked) = call.reservation else { return answered.into_value().map(Answer::Value) };
        let is_reserved = call.command.is_reservation(&answered.value);
        if is_reserved && answered.unacknowledged.is_some() {
            // Nobody is told of it, so it may go sooner than its lease lets it.
            self.give_back(id(), asked.token);
        }
        let outcome = claim_outcome(answered.into_value()?, &asked, id)?;
        let mut grant = Grant::taken(outcome);
        if is_reserved
            && is_in_transit
            && let Some(releases) = &self.releases
        {
            let id = id();
            let release = self.keyspace.release(id.as_ref(), asked.token);
            grant.give_back_by(releases, &id, release);
        }
        Ok(Answer::Claim(grant))
    }

    fn give_back(&self, id: RecordId, token: Uuid) {
        if let Some(releases) = &self.releases {
            let release = self.keyspace.release(id.as_ref(), token);
            releases.post(id, release);
        }
    }
}
