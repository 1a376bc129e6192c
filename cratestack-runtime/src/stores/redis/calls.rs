//! Calls of scripts, and how they share a round trip.
//!
//! What has been sent cannot be taken back, so a reservation goes on where its caller does not wait for it any more:
//!
//! ```text
//! caller │ sends ── has gone
//! task   │              └─ goes on with the same call ── reserved: gives it back
//! ```

use std::sync::Arc;

use redis::Value;
use uuid::Uuid;

use super::command::{Command, ScriptCall};
use super::keyspace::Keyspace;
use super::outcome::claim_outcome;
use super::server::{Answered, Server};
use super::to_the_end::ToTheEnd;
use crate::store::{ClaimOutcome, RecordId, RecordIdRef, StoreError};
use crate::stores::batch::{BatchQueue, Call, GiveBack, Grant, Operation, Pending};

/// The most commands of one pipeline. The server answers them in one go, so a long one holds up others.
const MAX_BATCH: usize = 128;

/// So many queues are there for the nodes of a Cluster. Where it has more primaries, some share one.
const MAX_QUEUES: usize = 64;

/// All scripts: any of them may stand beside any other in a pipeline.
#[derive(Clone)]
pub(super) struct Scripts {
    pub(super) keyspace: Arc<Keyspace>,
    /// Where a reservation goes that nobody takes; none for the releases themselves.
    pub(super) releases: Option<Queues>,
}

/// What a call of a script comes to.
pub(super) enum Answer {
    Claim(Grant<LateRelease>),
    Value(Value),
}

/// How a reservation is given back. The release is put together where it is needed, which is rare.
pub(super) struct LateRelease {
    scripts: Scripts,
    id: RecordId,
    token: Uuid,
}

impl GiveBack for LateRelease {
    fn give_back(self) {
        self.scripts.give_back(self.id, self.token);
    }
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
        if self.0.reservation.is_none() {
            return scripts.make_alone(self.0, &|| id.to_owned()).await;
        }
        // A caller that goes away may leave a reservation behind, of which nobody would know.
        let (scripts, call, id) = (scripts.clone(), self.0.clone(), id.to_owned());
        ToTheEnd::of(async move { scripts.make_alone(&call, &|| id.clone()).await }).await
    }
}

impl Operation for Scripts {
    type Args = ScriptCall;
    type Answer = Answer;

    const MAX_BATCH: usize = MAX_BATCH;
    /// Each of them has a connection of its own, so that one acknowledgement does not wait for another.
    const BASE_SLOTS: usize = 8;
    const SLOTS_WHEN_CROWDED: usize = 8;

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        let answers = {
            let commands: Vec<_> = batch.iter().map(|call| &*call.args.command).collect();
            self.keyspace.server.run_many(&commands, self.keyspace.acknowledgement).await
        };
        for (call, answered) in batch.into_iter().zip(answers) {
            if let Some(answered) = answered {
                let answer = self.answer(&call.args, &|| call.id.clone(), answered);
                call.answer(answer);
            } else {
                // Whatever comes of it, the others need not wait for it.
                let scripts = self.clone();
                tokio::spawn(async move {
                    let answer = scripts.make_alone(&call.args, &|| call.id.clone()).await;
                    call.answer(answer);
                });
            }
        }
    }
}

/// Where calls meet: a queue for each node, so that none waits for what another one's replicas acknowledge.
#[derive(Debug, Clone)]
pub(super) struct Queues(Arc<[BatchQueue<Scripts>]>);

impl Queues {
    pub(super) fn new(keyspace: &Arc<Keyspace>, releases: Option<&Self>, group_commit: bool) -> Self {
        // Only an acknowledgement holds up what comes behind it on its connection. Without one, calls share the
        // connection and what it sends without waiting for each other; a queue would only cost them more.
        let is_batching = group_commit && keyspace.acknowledgement.is_asked_for();
        let count = if is_batching && matches!(*keyspace.server, Server::Cluster(_)) { MAX_QUEUES } else { 1 };
        let queue = |_| {
            let scripts = Scripts { keyspace: Arc::clone(keyspace), releases: releases.cloned() };
            BatchQueue::new(scripts, is_batching)
        };
        Self((0..count).map(queue).collect())
    }

    /// That of the node which has the key, by what is known of it.
    pub(super) fn of(&self, keyspace: &Keyspace, command: &Command) -> &BatchQueue<Scripts> {
        let number = if self.0.len() > 1 { keyspace.server.number_of(command.key()) } else { 0 };
        &self.0[number % self.0.len()]
    }
}

impl Scripts {
    async fn make_alone(&self, call: &ScriptCall, id: &(dyn Fn() -> RecordId + Sync)) -> Result<Answer, StoreError> {
        let answered = self.keyspace.server.run_one(&call.command, self.keyspace.acknowledgement).await;
        self.answer(call, id, answered)
    }

    /// What the caller is told. A reservation that misses its caller is given back.
    fn answer(
        &self,
        call: &ScriptCall,
        id: &dyn Fn() -> RecordId,
        answered: Result<Answered, StoreError>,
    ) -> Result<Answer, StoreError> {
        let Some(asked) = call.reservation else { return answered?.into_value().map(Answer::Value) };
        let answered = answered.and_then(Answered::into_value);
        // It may be there, and nobody is told of it: then it goes sooner than its lease lets it.
        if let Err(StoreError::Unavailable(_)) = &answered {
            self.give_back(id(), asked.token);
        }
        let outcome = claim_outcome(answered?, &asked, id)?;
        let is_reserved = matches!(outcome, ClaimOutcome::Reserved { .. });
        let mut grant = Grant::taken(outcome);
        if is_reserved {
            grant.give_back_by(LateRelease { scripts: self.clone(), id: id(), token: asked.token });
        }
        Ok(Answer::Claim(grant))
    }

    fn give_back(&self, id: RecordId, token: Uuid) {
        if let Some(releases) = &self.releases {
            let release = self.keyspace.release(id.as_ref(), token);
            releases.of(&self.keyspace, &release.command).post(id, release);
        }
    }
}
