//! What replicas, and disks, must have said before a caller is told.

use std::time::Duration;

use redis::{Cmd, Value};

use crate::store::StoreError;

/// How long replicas may take. What they have not acknowledged by then is given back.
const REPLICAS_TIMEOUT: Duration = Duration::from_secs(1);

/// The same with disks, which `appendfsync everysec` syncs once a second.
const DISKS_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Acknowledgement {
    pub(super) replicas: u32,
    /// Also the disks: the primary's, and those of so many replicas.
    pub(super) synced: bool,
}

impl Acknowledgement {
    pub(super) fn is_asked_for(self) -> bool {
        self != Self::default()
    }

    pub(super) fn command(self) -> Cmd {
        let mut command = redis::cmd(if self.synced { "WAITAOF" } else { "WAIT" });
        if self.synced {
            command.arg(1);
        }
        command.arg(self.replicas).arg(u64::try_from(self.timeout().as_millis()).unwrap_or(u64::MAX));
        command
    }

    /// How long the servers may take.
    pub(super) fn timeout(self) -> Duration {
        if self.synced { DISKS_TIMEOUT } else { REPLICAS_TIMEOUT }
    }

    /// Why the caller is not told, where this answer does not do.
    pub(super) fn refusal(self, answer: &Value) -> Option<StoreError> {
        let (disks, replicas) = match answer {
            Value::Int(replicas) => (0, *replicas),
            Value::Array(parts) => match parts.as_slice() {
                [Value::Int(disks), Value::Int(replicas)] => (*disks, *replicas),
                _ => return Some(super::error::unexpected(answer)),
            },
            Value::ServerError(error) => {
                let error = redis::RedisError::from(error.clone());
                // What is no code of its own is an unknown command, or a server without an append-only file.
                return Some(if self.synced && super::error::code(&error) == Some("ERR") {
                    StoreError::Database(format!(
                        "{error}. `RedisStore::synced_to_disk` needs a server from 7.2 on with `appendonly yes`"
                    ))
                } else {
                    super::error::store_error(&error)
                });
            }
            _ => return Some(super::error::unexpected(answer)),
        };
        if replicas >= i64::from(self.replicas) && (disks >= 1 || !self.synced) {
            return None;
        }
        let disk = if self.synced { " and the disks" } else { "" };
        Some(StoreError::Unavailable(format!(
            "{replicas} of {} replicas{disk} acknowledged within {:?}, see `RedisStore::acknowledged_by`",
            self.replicas,
            self.timeout()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, synced: bool) -> StoreError {
        let answer = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
        Acknowledgement { replicas: 1, synced }.refusal(&answer).unwrap()
    }

    /// `Unavailable` has the reservation given back.
    #[test]
    fn a_primary_that_is_demoted_meanwhile_is_not_there_whatever_was_waited_for() {
        for synced in [false, true] {
            let error = refused("UNBLOCKED force unblock from blocking operation", synced);
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        }
    }

    #[test]
    fn a_server_that_cannot_wait_for_a_disk_is_told_of_with_what_it_takes() {
        let error = refused("ERR unknown command 'WAITAOF'", true).to_string();
        assert!(error.contains("needs a server from 7.2 on with `appendonly yes`"), "{error}");
    }
}
