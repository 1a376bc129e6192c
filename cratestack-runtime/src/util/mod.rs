//! What has nothing to do with idempotency: futures, timers, panics, locks, text.

mod catch_panic;
mod hex;
mod mutex;
mod timeout;

pub(crate) use catch_panic::catch_panic;
pub(crate) use hex::{hex, hex_digits};
pub(crate) use mutex::lock;
pub(crate) use timeout::{poll_once, timeout};
