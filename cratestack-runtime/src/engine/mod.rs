//! The protocol: reserve, run, complete or release.
//!
//! [`Engine::guard`] takes a claim on a key and the work that the key protects, and answers what became of it. It sees
//! the store only through its trait and knows nothing of HTTP: what the work's outcome looks like on the wire, the
//! work itself says in a [`Settled`].
//!
//! Who does what: `guard` is the life of one request, `acquire` how it comes by its key and `reserve` what it asks the store
//! for it, `local` is what the requests of one process know of each other's keys, `lease` keeps a reservation alive, `settle`
//! writes its outcome down, and `retry` does not give up on either; `replay_cache` answers from memory what this process has seen
//! the outcome of; `limits` bounds what is under way, `sweep` deletes what
//! expired, `tasks` counts what is running so that a shutdown can wait for it. `model` has the words that all of these share.
//! `transact` is the life of a request whose handler writes in the transaction that records its outcome.

mod acquire;
mod guard;
mod lease;
mod limits;
mod local;
mod model;
mod replay_cache;
mod reserve;
mod retry;
mod settle;
mod store_call;
mod sweep;
mod tasks;
mod transact;

pub(crate) use guard::Engine;
pub(crate) use model::{Answer, Disposition, Failure, Hold, Limit, Outcome, OwnedClaim, Policy, Settled, Step};
pub use sweep::Sweeper;
pub(crate) use sweep::sweep;
pub(crate) use transact::{TransactionOptions, TransactionSlot};
