//! What an operator sees of the rows, and removes.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::rows::{Row, Rows};
use super::{MemoryStore, SHARDS};
use crate::store::{
    HashedId, RecordId, RecordIdRef, RecordInfo, RecordQuery, RecordState, Removal, RemovalOutcome, RemovedAll,
};
use crate::util::lock;

impl Row {
    fn state(&self, now: Instant) -> RecordState {
        match &self.outcome {
            _ if self.expires.passed(now) => RecordState::Expired,
            Some(_) => RecordState::Finished,
            None if self.lease.passed(now) => RecordState::PastLease,
            None => RecordState::InFlight,
        }
    }

    /// How long it has been in its state.
    fn lasting(&self, now: Instant) -> Duration {
        match self.state(now) {
            RecordState::InFlight | RecordState::Finished => now.saturating_duration_since(self.reserved),
            RecordState::PastLease => self.lease.passed_since(now),
            RecordState::Expired => self.expires.passed_since(now),
        }
    }

    fn info(&self, id: RecordIdRef<'_>, now: Instant) -> RecordInfo {
        let by_the_wall = SystemTime::now();
        let state = self.state(now);
        let mut info = RecordInfo::new(id.principal, id.key, self.request_hash, state, self.created_at);
        info.attempt = self.attempt;
        info.expires_at = self.expires_at;
        info.now = by_the_wall;
        info.steps_bytes = self.steps.iter().map(|step| (step.name.len() + step.value.len()) as u64).sum();
        match &self.outcome {
            None => info.lease_ends_at = Some(self.lease.by_the_wall(now, by_the_wall).unwrap_or(self.expires_at)),
            Some(outcome) => {
                info.status = Some(outcome.status);
                info.headers_bytes = outcome.headers.len() as u64;
                info.body_bytes = outcome.body.len() as u64;
            }
        }
        info
    }
}

impl Rows {
    fn remove_if(&mut self, id: HashedId<'_>, removal: Removal, now: Instant) -> RemovalOutcome {
        let Some(state) = self.get_mut(id).map(|row| row.state(now)) else { return RemovalOutcome::Absent };
        if !removal.may(state) {
            return RemovalOutcome::Refused(state);
        }
        self.remove(id);
        RemovalOutcome::Removed(state)
    }
}

impl MemoryStore {
    pub(super) fn info(&self, id: HashedId<'_>) -> Option<RecordInfo> {
        let mut rows = self.shared.rows_of(id);
        rows.get_mut(id).map(|row| row.info(id.as_ref(), self.shared.now()))
    }

    pub(super) fn infos(&self, query: &RecordQuery) -> Vec<RecordInfo> {
        let now = self.shared.now();
        let mut found = Vec::new();
        for shard in 0..SHARDS {
            let rows = lock(&self.shared.shards[shard]);
            let meant = |(id, row): &(&RecordId, &Row)| {
                (query.states.is_empty() || query.states.contains(&row.state(now)))
                    && row.lasting(now) >= query.lasting
                    && query.within.contains(id.principal())
            };
            found.extend(rows.by_id.iter().filter(meant).map(|(id, row)| row.info(id.as_ref(), now)));
        }
        found.sort_by(|a, b| (a.created_at, &a.principal, &a.key).cmp(&(b.created_at, &b.principal, &b.key)));
        found.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        found
    }

    pub(super) fn remove_one(&self, id: HashedId<'_>, removal: Removal) -> RemovalOutcome {
        let now = self.shared.now();
        self.shared.rows_of(id).remove_if(id, removal, now)
    }

    pub(super) fn remove_many(&self, principal: &str, removal: Removal, limit: u32) -> RemovedAll {
        let (now, limit) = (self.shared.now(), u64::from(limit));
        let mut all = RemovedAll::default();
        for shard in 0..SHARDS {
            let mut rows = lock(&self.shared.shards[shard]);
            let ids: Vec<_> = rows.by_id.keys().filter(|id| id.principal() == principal).cloned().collect();
            for id in ids {
                if all.removed == limit {
                    return all;
                }
                match rows.remove_if(id.hashed(), removal, now) {
                    RemovalOutcome::Removed(_) => all.removed += 1,
                    RemovalOutcome::Refused(_) => all.running += 1,
                    RemovalOutcome::Absent => {}
                }
            }
        }
        all
    }
}
