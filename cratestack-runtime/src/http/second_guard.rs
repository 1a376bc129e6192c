//! What the log says where a request meets two guards, which is as a rule one too many. Each line comes once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;

/// What a handle has said of it already. All clones of the handle share it.
#[derive(Debug, Clone, Default)]
pub(super) struct SecondGuard(Arc<Said>);

#[derive(Debug, Default)]
struct Said {
    is_joined: AtomicBool,
    is_beside: AtomicBool,
}

impl SecondGuard {
    /// The first guard has the key of the second as well.
    pub(super) fn joins(&self) {
        if !self.0.is_joined.swap(true, Ordering::Relaxed) {
            warn!(
                "a request met two idempotency guards (an `IdempotencyLayer` and `#[idempotent]`, or two of a kind): the \
                 first guards it, by its own `ttl`, `lease` and `wait`, and of the second's settings `record` alone \
                 counts. `IdempotencyLayer::only` leaves out what has the attribute. This is told once"
            );
        }
    }

    /// The second guards itself, under a key or a caller of its own, in its transaction, or over another handle.
    pub(super) fn stands_beside(&self) {
        if !self.0.is_beside.swap(true, Ordering::Relaxed) {
            warn!(
                "a request met two idempotency guards, and each has a record of its own: the second has another key or \
                 caller than the first, a `transaction`, or another handle. Give a layer the same `key` and `principal` \
                 and a clone of the same `Idempotency`, or leave out by `IdempotencyLayer::only` what has the attribute. \
                 This is told once"
            );
        }
    }
}
