//! The HTTP side: from a request to a claim, and from what became of it to a response.
//!
//! `key` reads the header, `caller` tells whose it is, `namespace` keeps handles apart; `request` says what a request looks
//! like, `body` hashes its body as it is read; `part` is what the attribute's expressions may be made of, and `presence` whether
//! one came to nothing; `guard` drives the engine and answers, under the `options` of the attribute; `capture` turns a
//! response into a record, without the headers that are `omitted`, and `replay` turns it back; `slot` hands the reservation to
//! the handler's arguments, and `unrecorded` is a response's own word that there is nothing to keep; `problem` is every error
//! that a client can see, `event` what the operator is told. `transaction` is what a handler that writes in the record's
//! transaction needs besides. `handle` is [`Idempotency`](crate::Idempotency), where a service sets what applies to all its
//! handlers.

mod body;
mod caller;
mod capture;
mod event;
mod fingerprint;
mod guard;
mod handle;
mod headers;
mod key;
mod namespace;
mod omitted;
mod options;
mod part;
mod presence;
mod problem;
mod replay;
mod request;
mod slot;
mod transaction;
mod unrecorded;

pub use event::{Event, EventKind};
pub use fingerprint::hash_request;
pub(crate) use guard::Intake;
pub use guard::{Call, Work};
pub use handle::{Idempotency, OnStoreError};
pub use headers::{decode_headers, encode_headers};
pub use namespace::NamespaceError;
pub use options::Options;
pub use part::{KeyPart, Part, PartHasher, part};
pub use presence::Presence;
pub(crate) use problem::Problem;
pub(crate) use slot::{Granted, Slot, Vacancy};
pub use transaction::Attempts;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use transaction::Cause;
pub use unrecorded::Unrecorded;
