//! What an operator sees of the records, and removes.
//!
//! Records are found by `SCAN`, which goes through all keys of a server a thousand at a time, and holds nobody up for
//! longer. What comes or goes meanwhile may be seen or not.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::Value;
use uuid::Uuid;

use super::RedisStore;
use super::command::{Command, Kind, ScriptCall};
use super::error::{store_error, unexpected};
use super::keyspace::{Keyspace, TICK};
use super::node::Node;
use super::outcome::{bytes, number};
use super::script::SHOW;
use crate::store::{
    RecordIdRef, RecordInfo, RecordQuery, RecordState, Removal, RemovalOutcome, RemovedAll, StoreError,
};

/// How many keys the server looks at in one go.
const SCAN_COUNT: u32 = 1_000;

impl RedisStore {
    pub(super) async fn info(&self, id: RecordIdRef<'_>) -> Result<Option<RecordInfo>, StoreError> {
        let call = ScriptCall::new(Command::new(&SHOW, &self.keyspace.name(id), Kind::Other));
        match self.run(id, &call).await? {
            Value::Nil => Ok(None),
            Value::Array(parts) => record_info(id, parts).map(Some),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn infos(&self, query: &RecordQuery) -> Result<Vec<RecordInfo>, StoreError> {
        let mut found: Vec<RecordInfo> = Vec::new();
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let mut scan = Scan::new(&self.keyspace).await?;
        while let Some(names) = scan.next().await? {
            let ids = names.iter().filter_map(|name| self.keyspace.prefix.split(name));
            let ids: Vec<_> = ids.filter(|(principal, _)| query.within.contains(principal)).collect();
            // At once, as they share their round trips.
            let infos = ids.iter().map(|(principal, key)| self.info(RecordIdRef { principal, key }));
            for info in try_join_all(infos).await?.into_iter().flatten() {
                if (query.states.is_empty() || query.states.contains(&info.state)) && lasting(&info) >= query.lasting {
                    found.push(info);
                }
            }
            // No more than is asked for is kept.
            found.sort_by(|a, b| (a.created_at, &a.principal, &a.key).cmp(&(b.created_at, &b.principal, &b.key)));
            found.dedup_by(|a, b| a.principal == b.principal && a.key == b.key);
            found.truncate(limit);
        }
        Ok(found)
    }

    pub(super) async fn remove_one(&self, id: RecordIdRef<'_>, removal: Removal) -> Result<RemovalOutcome, StoreError> {
        let may = |state| if removal.may(state) { "1" } else { "0" };
        let script = &self.keyspace.server.waking_scripts().remove;
        let state = |number: i64| match number {
            1 => RecordState::InFlight,
            2 => RecordState::PastLease,
            _ => RecordState::Finished,
        };
        // The first call tells which record is there: one that is made again, or comes late, removes no other.
        let mut token = b"?".to_vec();
        let outcome = loop {
            let command = Command::new(script, &self.keyspace.name(id), Kind::Other)
                .arg(&token)
                .arg(may(RecordState::InFlight))
                .arg(may(RecordState::PastLease))
                .arg(may(RecordState::Finished));
            match self.run(id, &ScriptCall::new(command)).await? {
                Value::Nil => break RemovalOutcome::Absent,
                Value::Array(parts) => match parts.as_slice() {
                    [Value::Int(0), Value::Int(number)] => break RemovalOutcome::Refused(state(*number)),
                    [Value::Int(1), Value::Int(number)] => break RemovalOutcome::Removed(state(*number)),
                    [Value::Int(2), Value::Int(_), Value::BulkString(found)] => token.clone_from(found),
                    _ => return Err(unexpected(&Value::Array(parts))),
                },
                other => return Err(unexpected(&other)),
            }
        };
        // After the outcome is gone, so that nobody who looks at the mark from then on has it. Where there is none, an
        // earlier call may have removed it and failed here.
        if removal.may(RecordState::Finished)
            && matches!(outcome, RemovalOutcome::Absent | RemovalOutcome::Removed(RecordState::Finished))
        {
            self.set_removal_mark().await?;
        }
        Ok(outcome)
    }

    pub(super) async fn remove_many(
        &self,
        principal: &str,
        removal: Removal,
        limit: u32,
    ) -> Result<RemovedAll, StoreError> {
        let mut all = RemovedAll::default();
        let mut scan = Scan::new(&self.keyspace).await?;
        while let Some(names) = scan.next().await? {
            for name in names {
                let Some((of, key)) = self.keyspace.prefix.split(&name) else { continue };
                if of != principal {
                    continue;
                }
                if all.removed == u64::from(limit) {
                    return Ok(all);
                }
                match self.remove_one(RecordIdRef { principal, key: &key }, removal).await? {
                    RemovalOutcome::Removed(_) => all.removed += 1,
                    RemovalOutcome::Refused(RecordState::InFlight) => all.running += 1,
                    RemovalOutcome::Refused(_) | RemovalOutcome::Absent => {}
                }
            }
        }
        Ok(all)
    }

    async fn set_removal_mark(&self) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        let mark = self.keyspace.prefix.removal_mark();
        command.arg(&mark).arg(Uuid::new_v4().as_bytes());
        let done = self.keyspace.server.run_plain(mark.as_bytes(), &command).await;
        done.map(drop).map_err(|error| store_error(&error))
    }
}

fn record_info(id: RecordIdRef<'_>, parts: Vec<Value>) -> Result<RecordInfo, StoreError> {
    let [now, hash, attempt, created, lease, expires, status, headers, body, steps] =
        <[Value; 10]>::try_from(parts).map_err(|parts| unexpected(&Value::Array(parts)))?;
    let moment = |value: &Value| TICK.moment(number(value)?);
    let length = |value: &Value| Ok::<_, StoreError>(u64::try_from(number(value)?).unwrap_or_default());
    let (now, lease_ends_at) = (moment(&now)?, moment(&lease)?);
    let is_finished = status != Value::Nil;
    let state = match (is_finished, lease_ends_at > now) {
        (true, _) => RecordState::Finished,
        (false, true) => RecordState::InFlight,
        (false, false) => RecordState::PastLease,
    };
    let hash = bytes(hash)?;
    let mut info = RecordInfo::new(id.principal, id.key, [0; 32], state, moment(&created)?);
    info.request_hash = hash.try_into().ok();
    info.attempt = u32::try_from(number(&attempt)?).unwrap_or(1);
    info.expires_at = moment(&expires)?;
    info.now = now;
    info.steps_bytes = length(&steps)?;
    if is_finished {
        info.status = u16::try_from(number(&status)?).ok();
        info.headers_bytes = length(&headers)?;
        info.body_bytes = length(&body)?;
    } else {
        info.lease_ends_at = Some(lease_ends_at);
    }
    Ok(info)
}

/// How long it has been in its state.
fn lasting(info: &RecordInfo) -> Duration {
    let since = match info.state {
        RecordState::InFlight | RecordState::Finished => info.created_at,
        RecordState::PastLease => info.lease_ends_at.unwrap_or(info.created_at),
        RecordState::Expired => info.expires_at,
    };
    info.now.duration_since(since).unwrap_or_default()
}

/// The names of the records, page by page.
pub(super) struct Scan {
    pattern: String,
    /// The primaries that are still to be looked at.
    nodes: Vec<Arc<Node>>,
    cursor: u64,
}

impl Scan {
    pub(super) async fn new(keyspace: &Keyspace) -> Result<Self, StoreError> {
        let nodes = keyspace.server.primaries().await.map_err(|error| store_error(&error))?;
        Ok(Self { pattern: keyspace.prefix.pattern(), nodes, cursor: 0 })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let Some(node) = self.nodes.last() else { return Ok(None) };
        let mut command = redis::cmd("SCAN");
        command.arg(self.cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(SCAN_COUNT);
        let page = node.run_one(&command).await.map_err(|error| store_error(&error))?;
        let (cursor, names): (u64, Vec<Vec<u8>>) =
            redis::from_redis_value(page).map_err(|error| store_error(&error.into()))?;
        self.cursor = cursor;
        if cursor == 0 {
            self.nodes.pop();
        }
        Ok(Some(names))
    }
}
