//! The function door: `#[idempotent(name = "…", handle = …, key = …)]` on an async function that is no handler.
//!
//! A call passes through these files once each, in this order: `call` is what it is known by, and becomes a claim; `run`
//! has the engine run the body under that claim; `outcome` makes of the function's result what is to be recorded, and of
//! a record the result again; `error` is what the guard itself has to say. `body` is how generated code brings the body:
//! one that owns what it works with is given to the engine, another stays with its caller.
//!
//! ```text
//! caller            engine, on a task of its own        store
//! calls ──────────▶ has the key ──────────────────────▶ reserve
//!                   runs a body that borrows nothing
//!           or  ◀── says that the key is had
//! runs its body
//! how it ended ───▶ the outcome ──────────────────────▶ finish
//! the result  ◀──── answer
//! ```
//!
//! The caller may go away at any time. A body that the engine runs does not notice. One that stays with its caller ends
//! there, and the engine, which learns that at once, gives the key back, as after a panic.

mod body;
mod call;
mod error;
mod outcome;
mod run;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transaction;

pub use body::{again, once};
pub use call::FunctionCall;
pub use error::GuardError;
pub use outcome::Recorder;
pub use run::Run;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use transaction::{IsTx, TransactionalCall, TransactionalRun};
