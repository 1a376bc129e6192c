//! The leases of this process' reservations, renewed until their runs end.
//!
//! ```text
//! reserved      the store counts the lease from its write; here it is counted from the question, which was earlier
//! + 1/3 lease   the first renewal is sent
//!               … it has no answer: another starts beside it …   see `retry`
//!               held: the next is due a third after it was sent
//!               lost: another run has the key
//! outcome       a renewal that is on its way tells nothing more
//! ```
//!
//! Two look at the clock: the run's own task while it waits ([`Lease::during`](handle::Lease::during)), and one thread
//! of the process for all. Whoever finds a lease due has its renewal sent on the run's runtime. The thread is for work
//! that blocks its own thread, and with it perhaps its runtime's timers: such work keeps its lease, as long as its
//! runtime has another thread. Most runs end before anybody looks.
//!
//! `renewal` is the one call of the store that renews; a reservation that was told late (`mode/leased/acquire`) makes
//! it as well. `handle` is one run's lease; `renewer` has the thread; `schedule` says which lease is due when.

pub(super) mod handle;
pub(super) mod renewal;
mod renewer;
mod schedule;
