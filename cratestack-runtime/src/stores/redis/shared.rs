//! A connection that all callers share, and that one of them makes anew.
//!
//! ```text
//! caller A │ finds none ── connects ─────────── has it
//! caller B │     finds none ── waits for A ──── has it      (or the error that A was given)
//! ```

use std::sync::Mutex;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult};

use crate::util;

#[derive(Default)]
pub(super) struct Shared {
    current: Mutex<Option<Numbered>>,
    /// Who connects; the others wait for that.
    connecting: tokio::sync::Mutex<u64>,
    /// How many attempts to connect have failed, and why the last of them has.
    failed: Mutex<(u64, Option<RedisError>)>,
}

#[derive(Clone)]
pub(super) struct Numbered {
    pub(super) number: u64,
    pub(super) connection: MultiplexedConnection,
}

impl Shared {
    fn current(&self) -> Option<Numbered> {
        util::lock(&self.current).clone()
    }

    pub(super) async fn get(
        &self,
        connect: impl Future<Output = RedisResult<MultiplexedConnection>>,
    ) -> RedisResult<Numbered> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let failures = util::lock(&self.failed).0;
        let mut last_number = self.connecting.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        // Whoever has waited for an attempt that failed makes none: where nobody answers, all would stand in line.
        match &*util::lock(&self.failed) {
            (count, Some(error)) if *count != failures => return Err(error.clone()),
            _ => {}
        }
        match connect.await {
            Ok(connection) => {
                *last_number += 1;
                let current = Numbered { number: *last_number, connection };
                *util::lock(&self.current) = Some(current.clone());
                Ok(current)
            }
            Err(error) => {
                let mut failed = util::lock(&self.failed);
                *failed = (failed.0 + 1, Some(error.clone()));
                Err(error)
            }
        }
    }

    /// Where somebody else has not done so since.
    pub(super) fn give_up(&self, number: u64) {
        util::lock(&self.current).take_if(|current| current.number == number);
    }

    pub(super) fn clear(&self) {
        *util::lock(&self.current) = None;
    }
}
