//! Between a request's extractors and its response.
//!
//! A request passes through these files once each, in this order: `prepare` reads its key before the extractors run;
//! `decide` tells whether there is anything to guard, and what its claim is; `run` has the engine run the handler under
//! that claim; `record` makes of the handler's response what is to be recorded; `respond` answers whatever became
//! of it. [`GuardedRequest`] is what travels.

mod decide;
mod prepare;
mod record;
mod request;
mod respond;
mod run;

pub(crate) use decide::Verdict;
pub(crate) use prepare::{ArrivingRequest, KeySource, RequestHead, body_bound};
pub use request::GuardedRequest;
pub(crate) use request::{NoReservation, NoReservationReason};
pub use run::GuardedResponse;
