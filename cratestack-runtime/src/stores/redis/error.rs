//! What an error of the client or of the server means to a caller, and the line that mends it.
//!
//! None of these texts has a password in it: the client's errors name an address at most.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::StoreError;

/// What a script answers where a record is not as it was written.
const DAMAGED: &str = "DAMAGED";

/// Those that a command of a script can fail with.
const CODES_WITHIN: [&str; 6] = ["READONLY", "OOM", "MISCONF", "NOREPLICAS", "WRONGTYPE", "NOPERM"];

/// The code of a server's error. Before Redis 7 an error of a command that a script calls is `ERR`, and its own code stands
/// behind words about the script.
pub(super) fn code(error: &RedisError) -> Option<&str> {
    match error.code()? {
        "ERR" => {
            let words = error.detail().filter(|words| words.starts_with("Error running script"));
            let within = words.and_then(|words| {
                let is_in = |code: &&str| words.split([' ', '-', ':']).any(|word| word == *code);
                CODES_WITHIN.into_iter().find(is_in)
            });
            // A user lacks a right of a script's in words only.
            let is_denied =
                || error.detail().is_some_and(|words| words.contains("The user executing the script can't"));
            within.or_else(|| Some(if is_denied() { "NOPERM" } else { "ERR" }))
        }
        code => Some(code),
    }
}

pub(super) fn store_error(error: &RedisError) -> StoreError {
    let text = error.to_string();
    match (error.kind(), code(error)) {
        (_, Some(DAMAGED)) => StoreError::Codec(format!(
            "{}: something else has changed the record, which neither runs nor is answered until it expires or is removed",
            error.detail().unwrap_or(&text)
        )),
        (_, Some("NOPERM")) => StoreError::Database(format!(
            "{text}. The ACL user lacks a right: `cratestack-schema check --redis-url …` prints the rule that grants what the \
             store needs"
        )),
        (_, Some("OOM")) => StoreError::Unavailable(format!(
            "{text}. The server has reached `maxmemory`: raise it; an eviction policy other than `noeviction` would drop \
             records, and their requests would run again"
        )),
        (_, Some("MISCONF")) => StoreError::Unavailable(format!("{text}. The server cannot write to its disk")),
        // A primary that becomes a replica lets go of those who wait for acknowledgements (UNBLOCKED).
        (_, Some("NOREPLICAS" | "READONLY" | "UNBLOCKED")) => StoreError::Unavailable(text),
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
