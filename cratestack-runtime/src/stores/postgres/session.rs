//! Whether the server is still the one that it was: nothing that it had committed is lost while a session of it lives.
//!
//! A server that crashes ends every session before it recovers, also where its main process survives and only one of
//! the others died; so while one backend answers, nothing was lost since it began. The start of the main process and
//! the system identifier would not tell: crash recovery changes neither.
//!
//! A standby that is promoted keeps its sessions. A backend that is in recovery is therefore never a session of ours,
//! and the one that is opened after the promotion is another. A primary changes its timeline by no other way, so that a
//! session has one timeline needs no probe at it.
//!
//! The samples are taken over one connection, which no pool may recycle:
//!
//! ```text
//! process                                       server
//! connect ------------------------------------> backend 17 begins
//! sample -------------------------------------> 17, not in recovery: session A, confirmed as of the sending
//! sample -------------------------------------> 17: session A
//!                                               crash: 17 and all others end, then recovery
//! sample --------> the connection is broken: session A is over
//! connect ------------------------------------> backend 9 begins, if the server is up
//! sample -------------------------------------> 9: session B
//! ```

use std::time::{Duration, Instant, SystemTime};

use sqlx::{Connection as _, PgConnection, PgPool, Row as _};
use tokio::sync::Mutex;
use tracing::warn;
use uuid::Uuid;

use super::timestamptz::TICK;
use crate::store::ClockSample;

/// One text without parameters: sqlx prepares nothing for it, so that it passes through any pooler.
///
/// A role sees the start of its own session without any right.
const SAMPLE: &str = "SELECT (EXTRACT(EPOCH FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8, \
     pid::pg_catalog.int8, (EXTRACT(EPOCH FROM backend_start) * 1000000)::pg_catalog.int8, pg_catalog.pg_is_in_recovery() \
     FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())";

/// Where a session cannot be told, nobody tries again for this long.
const SESSION_RETRY_AFTER: Duration = Duration::from_secs(600);

/// The process' own connection to the server; there once the first sample was taken.
#[derive(Debug, Default)]
pub(super) struct ServerSession(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: Option<SampleConnection>,
    retry_at: Option<Instant>,
    is_reported: bool,
}

#[derive(Debug)]
struct SampleConnection {
    connection: PgConnection,
    since: Instant,
    /// Of this connection alone: backends of two connections are never taken for one.
    session: u128,
    backend: Option<Backend>,
}

/// The number of a process may come again after a crash, in a container all but surely, but not with the same start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Backend {
    pid: i64,
    start: i64,
}

impl ServerSession {
    /// `None` where the server is in recovery, or its sessions cannot be told apart.
    pub(super) async fn sample(&self, pool: &PgPool) -> Result<Option<ClockSample>, sqlx::Error> {
        let mut state = self.0.lock().await;
        if pool.is_closed() {
            state.open = None;
            return Err(sqlx::Error::PoolClosed);
        }
        if state.retry_at.is_some_and(|end| Instant::now() < end) {
            return Ok(None);
        }
        // Out of the state meanwhile, so that whoever drops this halfway, and every error, ends the session.
        let mut kept = state.open.take();
        // A server that was replaced, and lives on behind its old address, is left as soon as the pool leaves it.
        let max_lifetime = pool.options().get_max_lifetime().unwrap_or(Duration::MAX);
        if let Some(outlived) = kept.take_if(|open| open.since.elapsed() >= max_lifetime) {
            drop(outlived.connection.close().await);
        }
        let kept = match kept {
            // One that was idle for too long for somebody between here and the server is no failure of the server's.
            Some(open) => open.probe().await.ok(),
            None => None,
        };
        let (open, probe) = match kept {
            Some(probed) => probed,
            None => SampleConnection::connect(pool).await?.probe().await?,
        };
        match probe {
            Probe::Session(sample) => {
                state.open = Some(open);
                return Ok(Some(sample));
            }
            Probe::Recovery => {}
            Probe::Indistinguishable(why) => {
                state.retry_at = Instant::now().checked_add(SESSION_RETRY_AFTER);
                if !std::mem::replace(&mut state.is_reported, true) {
                    warn!(
                        "no replay of an idempotent request is answered from memory: {why}. Retries ask the store; to have \
                         no such connection at all, set Idempotency::replay_cache_bytes(0)"
                    );
                }
            }
        }
        drop(open.connection.close().await);
        Ok(None)
    }
}

enum Probe {
    Session(ClockSample),
    Recovery,
    Indistinguishable(&'static str),
}

impl SampleConnection {
    /// Without the pool's hooks: a `SET ROLE` in one would hide the start of the session from itself.
    async fn connect(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let connection = PgConnection::connect_with(&pool.connect_options()).await?;
        Ok(Self { connection, since: Instant::now(), session: Uuid::new_v4().as_u128(), backend: None })
    }

    /// An error closes the connection, and with it ends the session.
    async fn probe(mut self) -> Result<(Self, Probe), sqlx::Error> {
        let row = sqlx::raw_sql(SAMPLE).fetch_one(&mut self.connection).await?;
        if row.try_get(3)? {
            return Ok((self, Probe::Recovery));
        }
        let Some(start) = row.try_get(2)? else {
            let why = "the database role does not see its own session in pg_stat_activity, as where a role is set for \
                       the login";
            return Ok((self, Probe::Indistinguishable(why)));
        };
        let backend = Backend { pid: row.try_get(1)?, start };
        if *self.backend.get_or_insert(backend) != backend {
            // Emptied at each change, the memory would answer next to nothing.
            let why = "one connection reaches several sessions of the server. A pooler in transaction mode, as PgBouncer \
                       has it, is the usual cause";
            return Ok((self, Probe::Indistinguishable(why)));
        }
        let now: SystemTime = TICK.moment(row.try_get(0)?).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let sample = ClockSample { now, session: self.session };
        Ok((self, Probe::Session(sample)))
    }
}
