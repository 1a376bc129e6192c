//! Whether the server is still the one that it was: nothing that it holds is lost while a session of it lives.
//!
//! A server that starts anew has another `run_id`, and has lost what its disk did not have. A replica that is promoted
//! begins another history of replication (`master_replid`), and has lost what it had not received. A server that evicts
//! keys loses records in the midst of a session, so it has none.
//!
//! ```text
//! process                             primary A            replica B
//! sample ───────────────────────────▶ A's run and history: session 1
//!                                     crashes              is promoted: another history
//! sample ────────────────────────────────────────────────▶ B's run and history: session 2; what was kept is dropped
//! ```
//!
//! On a Cluster the session is that of all primaries: where one is replaced, what is kept of the others goes as well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use redis::{Pipeline, RedisError, Value};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::acknowledgement::Acknowledgement;
use super::command::{Command, Kind};
use super::error::{store_error, unexpected};
use super::keyspace::Keyspace;
use super::script::REMOVAL_MARK;
use super::server::Server;
use crate::store::{ClockSample, StoreError};
use crate::stores::time::Tick;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    is_reported: AtomicBool,
}

impl Sessions {
    pub(super) async fn sample(&self, keyspace: &Keyspace) -> Result<Option<ClockSample>, StoreError> {
        let (infos, mark) = ask(keyspace).await?;
        let mut session = Sha256::new();
        let mut now = SystemTime::UNIX_EPOCH;
        for info in &infos {
            let info = Info(info);
            if info.get("role") != Some("master") || info.get("loading") == Some("1") {
                return Ok(None);
            }
            if info.may_evict() {
                if !self.is_reported.swap(true, Ordering::Relaxed) {
                    warn!(
                        "no replay of an idempotent request is answered from memory: the Redis server may evict keys, and a \
                         request whose record is evicted runs again. Set `maxmemory-policy noeviction`"
                    );
                }
                return Ok(None);
            }
            for field in ["run_id", "master_replid"] {
                let value = info.get(field).unwrap_or_default();
                session.update(value.as_bytes());
                session.update([0]);
            }
            now = now.max(info.clock()?);
        }
        session.update(&mark);
        let mut short = [0; 16];
        short.copy_from_slice(&session.finalize()[..16]);
        Ok(Some(ClockSample { now, session: u128::from_be_bytes(short) }))
    }
}

/// What each primary says of itself, and the mark that a removal sets.
async fn ask(keyspace: &Keyspace) -> Result<(Vec<String>, Vec<u8>), StoreError> {
    let mark = keyspace.prefix.removal_mark();
    let refused = |error: RedisError| store_error(&error);
    match &*keyspace.server {
        Server::Node(node) => {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.cmd("INFO").cmd("GET").arg(&mark);
            let mut answers = node.run_many(&pipeline, 2).await.map_err(refused)?.into_iter();
            let mut next = || answers.next().unwrap_or_default().extract_error().map_err(refused);
            Ok((vec![text_of(next()?)?], mark_of(next()?)))
        }
        Server::Cluster(cluster) => {
            let mut infos = cluster.ask_primaries(&redis::cmd("INFO")).await.map_err(refused)?;
            // Which node answers first does not matter.
            infos.sort_by(|(one, _), (other, _)| one.cmp(other));
            let infos = infos.into_iter().map(|(_, info)| text_of(info.extract_error().map_err(refused)?));
            let mark = Command::new(&REMOVAL_MARK, &mark, Kind::Other);
            let mark = keyspace.server.run_one(&mark, Acknowledgement::default()).await?.into_value()?;
            Ok((infos.collect::<Result<_, StoreError>>()?, mark_of(mark)))
        }
    }
}

fn text_of(value: Value) -> Result<String, StoreError> {
    redis::from_redis_value(value).map_err(|error| store_error(&error.into()))
}

fn mark_of(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(mark) => mark,
        _ => Vec::new(),
    }
}

/// The answer to `INFO`.
struct Info<'a>(&'a str);

impl Info<'_> {
    fn get(&self, field: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
    }

    fn may_evict(&self) -> bool {
        self.get("maxmemory").is_none_or(|bytes| bytes != "0")
            && self.get("maxmemory_policy").is_none_or(|policy| policy != "noeviction")
    }

    fn clock(&self) -> Result<SystemTime, StoreError> {
        let micros = self.get("server_time_usec").and_then(|micros| micros.parse::<i64>().ok());
        let micros =
            micros.ok_or_else(|| unexpected(&Value::SimpleString("INFO without server_time_usec".to_owned())))?;
        // Rounded up, as what is kept is to end no later than in the store.
        Tick::Millisecond.moment(micros.div_euclid(1_000) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_may_evict_is_told_by_its_limit_and_its_policy() {
        for (info, may_evict) in [
            ("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", false),
            ("maxmemory:1024\r\nmaxmemory_policy:noeviction\r\n", false),
            ("maxmemory:1024\r\nmaxmemory_policy:volatile-ttl\r\n", true),
            ("", true),
        ] {
            assert_eq!(Info(info).may_evict(), may_evict, "{info:?}");
        }
    }

    #[test]
    fn the_clock_is_read_in_microseconds() {
        let moment = Info("server_time_usec:1764167235123456\r\n").clock().unwrap();
        let expected = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_764_167_235_124);
        assert_eq!(moment, expected);
        assert!(Info("").clock().is_err());
    }
}
