//! What a service says once, and what its handlers see, whichever door their work comes in by.
//!
//! [`Idempotency`] is the handle on a store, with the `settings` that apply to all its handlers; `configure` changes
//! them, and `namespace` keeps handles on one table apart. An attribute's own `options` go before them. A `key_part` is
//! what the attribute's expressions may be made of, and `presence` whether one came to nothing. Through its
//! `reservation_slot` a run has its [`Reservation`], through `tx` its transaction. `event` is what the operator is
//! told, of a `subject`.
//!
//! Nothing here knows how work comes in. What only one kind of door needs of a handle lies in the settings as the
//! door's own.

mod configure;
mod event;
mod idempotency;
mod key_part;
mod namespace;
mod options;
mod presence;
mod reservation;
mod reservation_slot;
mod settings;
mod subject;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod tx;

pub use event::{Event, EventKind};
pub use idempotency::Idempotency;
pub(crate) use key_part::digest;
pub use key_part::{KeyPart, Part, PartHasher, part};
pub use namespace::NamespaceError;
pub(crate) use namespace::{MARK, MAX_PRINCIPAL_BYTES, record_id};
pub use options::Options;
pub use presence::Presence;
pub use reservation::Reservation;
pub(crate) use reservation_slot::ReservationSlot;
pub use settings::OnStoreError;
pub(crate) use subject::Subject;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use tx::Tx;
