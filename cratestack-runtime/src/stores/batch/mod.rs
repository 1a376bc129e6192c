//! Calls that share a round trip: what a store needs where one statement, or one message, can be for many keys.
//!
//! `queue` is where the calls meet, `operation` what a store says of them, and `grant` how a reservation reaches a caller
//! who may have gone. None of them knows what the store speaks.

mod grant;
mod operation;
mod pace;
mod queue;

pub(crate) use grant::Grant;
#[cfg(feature = "postgres")]
pub(crate) use operation::split_repeats;
pub(crate) use operation::{Call, Operation, Pending};
pub(crate) use queue::BatchQueue;
