//! What an error of the client or of the server means to a caller, and the line that mends it.
//!
//! None of these texts has a password in it: the client's errors name an address at most.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::StoreError;

pub(super) fn store_error(error: &RedisError) -> StoreError {
    let text = error.to_string();
    match (error.kind(), error.code()) {
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) => StoreError::Database(format!(
            "{text}. The ACL user lacks a right: `cratestack-schema check --redis-url …` prints the rule that grants what the \
             store needs"
        )),
        (_, Some("OOM")) => StoreError::Unavailable(format!(
            "{text}. The server has reached `maxmemory`: raise it; an eviction policy other than `noeviction` would drop \
             records, and their requests would run again"
        )),
        (_, Some("MISCONF")) => StoreError::Unavailable(format!("{text}. The server cannot write to its disk")),
        (_, Some("NOREPLICAS")) => StoreError::Unavailable(text),
        (_, Some("WRONGTYPE")) => StoreError::Database(format!(
            "{text}. A key of another program has the name of a record: give the store a prefix of its own, see \
             `RedisStore::prefix`"
        )),
        (_, Some("NOAUTH" | "WRONGPASS")) | (ErrorKind::AuthenticationFailed, _) => {
            StoreError::Database(format!("{text}. Set the user and the password in the client's URL"))
        }
        (
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::TryAgain
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask,
            )
            | ErrorKind::Io
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::MasterNameNotFoundBySentinel
            | ErrorKind::NoValidReplicasFoundBySentinel,
            _,
        ) => StoreError::Unavailable(text),
        (ErrorKind::InvalidClientConfig | ErrorKind::EmptySentinelList | ErrorKind::RESP3NotSupported, _) => {
            StoreError::Internal(text)
        }
        (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => StoreError::Codec(text),
        _ => StoreError::Database(text),
    }
}

/// Where an answer is none that the script gives.
pub(super) fn unexpected(answer: &redis::Value) -> StoreError {
    StoreError::Codec(format!("a script of the idempotency store answered {answer:?}"))
}
