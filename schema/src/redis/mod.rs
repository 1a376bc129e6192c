//! How records lie in Valkey and Redis: the names of keys and of the fields of their hashes. And what a server must be
//! that keeps them: [`ServerNeeds`] says what to ask it, [`ServerReport`] what its answers come to.
//!
//! A record is one hash. Its key's name has no part that Redis would take for a hash tag, so that the records of one
//! caller, and of all callers, are spread over the slots of a Cluster.
//!
//! ```
//! use cratestack_schema::redis::KeyPrefix;
//!
//! let prefix = KeyPrefix::default();
//! assert_eq!(prefix.key("alice", "order 7"), "cratestack_idempotency:alice:order%207");
//! assert_eq!(prefix.split(b"cratestack_idempotency:alice:order%207"), Some(("alice".into(), "order 7".into())));
//! ```

mod prefix;
mod server;

pub use prefix::{KeyPrefix, PREFIX, PrefixError};
pub use server::{ServerAnswer, ServerAnswers, ServerFinding, ServerFindingKind, ServerNeeds, ServerReport};

/// The fields of a record's hash. Times are milliseconds since the Unix epoch, by the server's clock.
///
/// ```
/// assert_eq!(cratestack_schema::redis::fields::STATUS, "status");
/// ```
pub mod fields {
    /// SHA-256 of the request, 32 bytes.
    pub const HASH: &str = "hash";
    /// The token of the reservation, 16 bytes.
    pub const TOKEN: &str = "token";
    /// Which attempt this is, from 1 on.
    pub const ATTEMPT: &str = "attempt";
    /// When it was reserved.
    pub const CREATED: &str = "created";
    /// When the lease ends.
    pub const LEASE: &str = "lease";
    /// When the record expires, which the server does by itself.
    pub const EXPIRES: &str = "expires";
    /// The status of the outcome; there once it is recorded.
    pub const STATUS: &str = "status";
    /// The headers of the outcome.
    pub const HEADERS: &str = "headers";
    /// The body of the outcome.
    pub const BODY: &str = "body";
    /// How many steps the run has recorded; there from the first one on, until the outcome is.
    pub const STEPS: &str = "steps";
    /// What the field of a step begins with; the rest is its name. Its value is its number, a space, and what came of it.
    pub const STEP: &str = "step:";
    /// There while somebody waits for the outcome.
    pub const WAITING: &str = "waiting";
}
