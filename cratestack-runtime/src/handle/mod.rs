//! What a service says once, and what its handlers see, whichever door their work comes in by.
//!
//! [`Idempotency`] is the handle on a store, with the `settings` that apply to all its handlers; `configure` changes
//! them, and `namespace` keeps handles on one table apart. An attribute's own `options` go before them. A `key_part` is
//! what the attribute's expressions may be made of. By `reservation` a run has its [`Reservation`], by `tx` its
//! transaction. `event` is what the operator is told, and `operator` what he does; `principal` spells callers' names.
//!
//! Nothing here knows how work comes in. What only one kind of door needs of a handle lies in the settings as the
//! door's own.

mod configure;
mod event;
mod failure_cause;
#[cfg(any(feature = "axum", feature = "macros"))]
mod found;
mod idempotency;
mod key_part;
mod namespace;
mod operator;
mod options;
mod principal;
mod reservation;
mod reservation_kind;
mod settings;
mod step;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod step_transaction;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod takes_part;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod tx;

pub(crate) use event::Happening;
pub use event::{Event, EventKind};
pub use failure_cause::FailureCause;
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
pub use found::found_handle_for;
#[cfg(any(feature = "axum", feature = "macros"))]
pub use found::{FoundHandle, found_handle};
pub use idempotency::Idempotency;
pub(crate) use key_part::digest;
pub use key_part::{KeyPart, Part, PartHasher, Presence, part};
#[cfg(test)]
pub(crate) use namespace::MAX_PRINCIPAL_BYTES;
pub use namespace::NamespaceError;
pub(crate) use namespace::{MARK, record_id};
pub use options::Options;
pub(crate) use options::Recorded;
pub use principal::Principal;
#[cfg(test)]
pub(crate) use principal::looks_like_a_digest;
pub(crate) use principal::of_expression;
#[cfg(feature = "macros")]
pub(crate) use principal::{function_key, of_function};
#[cfg(feature = "axum")]
pub(crate) use principal::{given, holder_of};
#[cfg(feature = "axum")]
pub(crate) use reservation::Beside;
pub use reservation::{Reservation, ReservationSlot};
pub use reservation_kind::ReservationKind;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use reservation_kind::{HasNoSteps, HasSteps, InTransaction};
pub use settings::OnStoreError;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use takes_part::TakesPart;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use tx::Tx;
