//! The leases of this process' reservations, renewed until their runs end.
//!
//! ```text
//! reserved      asked: the lease counts from the write, so from here at the earliest
//! + 1/3 lease   the first renewal is sent
//!               … it has no answer: another starts beside it …   see `retry`
//!               held: the next is due a third after it was sent
//!               lost: another run has the key
//! outcome       a renewal that is on its way tells nothing more
//! ```
//!
//! Two look at the clock: the run's own task while it waits ([`Lease::during`](handle::Lease::during)), and one thread of the
//! process for all, so that work that blocks its thread, and with it perhaps its runtime's timers, does not lose its lease. Most
//! runs end before anybody looks.
//!
//! `renewal` is what is asked of the store, by whomever; `handle` is one run's lease; `renewer` renews all, by the thread that
//! it has; `schedule` is when which of them is due.

pub(super) mod handle;
pub(super) mod renewal;
mod renewer;
mod schedule;
