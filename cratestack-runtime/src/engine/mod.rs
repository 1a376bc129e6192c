//! The protocol: reserve, run, complete or release.
//!
//! [`Engine::guard`] takes a claim on a key and the work that the key protects, and answers what became of it. It sees
//! the store only through its trait and knows nothing of HTTP: what the work's outcome looks like on the wire, the
//! work itself says in a [`Settled`].
//!
//! Who does what: `guard` is the life of one request, `reserve` asks for its key, `rooms` is where the duplicates of a
//! running one wait, `lease` keeps its reservation alive, `settle` writes its outcome down (and does not give up), `caught`
//! turns a panic into a value, `sweep` deletes what expired, `tasks` counts what is running so that a shutdown can wait
//! for it, `within` is a time limit, `replay_cache` answers from memory what this
//! process has seen the outcome of. `transact` is the life of a request whose handler writes in the transaction that records its outcome, and
//! `places` what requests for one key share.

mod caught;
mod guard;
mod lease;
mod places;
mod replay_cache;
mod reserve;
mod rooms;
mod settle;
mod sweep;
mod tasks;
mod transact;
mod within;

pub(crate) use caught::caught;
use caught::caught_of_store;
pub(crate) use guard::{Answer, Engine, Hold, OwnedClaim, Policy, Step};
pub(crate) use settle::{Failure, Settled, Verdict};
pub use sweep::Sweeper;
pub(crate) use sweep::sweep;
pub(crate) use transact::{Handover, Terms};
pub(crate) use within::within;
