//! What has nothing to do with idempotency: futures and panics.

mod catch_panic;
mod timeout;

pub(crate) use catch_panic::catch_panic;
pub(crate) use timeout::{poll_once, timeout};
