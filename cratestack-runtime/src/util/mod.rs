//! What has nothing to do with idempotency: futures, timers, panics, locks, text.

mod catch_panic;
mod hex;
mod mutex;
mod short_text;
mod timeout;

pub(crate) use catch_panic::catch_panic;
pub(crate) use hex::{hex, hex_digits, hex_of_digest};
pub(crate) use mutex::lock;
pub(crate) use short_text::ShortText;
pub(crate) use timeout::{poll_once, timeout};
