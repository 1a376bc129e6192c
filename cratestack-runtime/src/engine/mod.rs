//! The protocol: reserve, run, complete or release.
//!
//! [`Engine::guard`] takes a claim on a key and the work that the key protects, and answers what became of it. It sees
//! the store only through its trait and knows nothing of HTTP: what the work's outcome looks like on the wire, the
//! work itself says in a [`Settled`].
//!
//! Who does what: `guard` is the life of one request, `caught` turns its panic into a value, `lease` keeps its reservation alive, `settle` writes its outcome
//! down (and does not give up), `tasks` counts what is running so that a shutdown can wait for it.

mod caught;
mod guard;
mod lease;
mod settle;
mod tasks;

pub(crate) use caught::caught;
pub(crate) use guard::{Answer, Engine, OwnedClaim};
pub(crate) use settle::{Settled, Verdict};
