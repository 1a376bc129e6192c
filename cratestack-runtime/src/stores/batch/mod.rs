//! Calls that share a round trip: what a store needs where one statement, or one message, can be for many keys.
//!
//! `queue` is where the calls meet, `state` who waits there and what is on its way, `pace` how much of it may be,
//! `operation` what a store says of them, and `grant` how a reservation reaches a caller who may have gone. None of them
//! knows what the store speaks.

mod grant;
mod operation;
mod pace;
mod queue;
mod state;

#[cfg(feature = "redis")]
pub(crate) use grant::GiveBack;
pub(crate) use grant::Grant;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use grant::ReleaseIn;
#[cfg(feature = "postgres")]
pub(crate) use operation::split_repeats;
pub(crate) use operation::{Call, Operation, Pending};
pub(crate) use queue::BatchQueue;
