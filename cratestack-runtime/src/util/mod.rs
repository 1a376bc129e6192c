//! What has nothing to do with idempotency: futures, panics, text.

mod catch_panic;
mod hex;
mod timeout;

pub(crate) use catch_panic::catch_panic;
pub(crate) use hex::{hex, hex_digits};
pub(crate) use timeout::{poll_once, timeout};
