//! The handle on a store, and what handlers see of it, whichever door their work comes in by.

mod event;
mod idempotency;
mod key_part;
mod namespace;
mod options;
mod presence;
mod reservation;
mod reservation_slot;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod tx;

pub(crate) use event::Subject;
pub use event::{Event, EventKind};
pub(crate) use idempotency::SHORTEST_LEASE;
pub use idempotency::{Idempotency, OnStoreError};
pub(crate) use key_part::digest;
pub use key_part::{KeyPart, Part, PartHasher, part};
pub use namespace::NamespaceError;
pub use options::Options;
pub use presence::Presence;
pub use reservation::Reservation;
pub(crate) use reservation_slot::{Slot, Vacancy};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use tx::Meeting;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use tx::{TransactionalDatabase, Tx};
