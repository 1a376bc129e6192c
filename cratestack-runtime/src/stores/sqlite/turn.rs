use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// The right to write, for one store and its clones.
///
/// SQLite lets one write in at a time, and those that wait for it sleep and poll: the unlucky ones starve into
/// `SQLITE_BUSY`. In a queue of our own everybody has a turn. It is entered before a connection is taken, never after,
/// as whoever has the turn may need the pool's last one.
///
/// What renews or ends a reservation must not stand behind a hundred new ones, or behind as many transactions of
/// handlers. So those wait outside, and one of them at a time is in the queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn {
    queue: Arc<Mutex<()>>,
    outside: Arc<Mutex<()>>,
}

impl Turn {
    pub(super) async fn take(&self) -> OwnedMutexGuard<()> {
        let _is_next = self.outside.lock().await;
        self.take_urgent().await
    }

    /// The one or the other.
    pub(super) async fn take_as(&self, is_urgent: bool) -> OwnedMutexGuard<()> {
        if is_urgent { self.take_urgent().await } else { self.take().await }
    }

    /// For what renews or ends a reservation.
    pub(super) async fn take_urgent(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.queue).lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::poll_immediate;

    use super::*;

    #[tokio::test]
    async fn what_renews_or_ends_a_reservation_stands_behind_one_of_the_others_at_most() {
        let turn = Turn::default();
        let has_it = turn.take().await;
        let order: Arc<std::sync::Mutex<Vec<&str>>> = Arc::default();
        let mut waiting = Vec::new();
        for name in ["other", "other", "other", "first", "first"] {
            let (turn, order) = (turn.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                let _turn = if name == "first" { turn.take_urgent().await } else { turn.take().await };
                order.lock().unwrap().push(name);
            }));
            tokio::task::yield_now().await;
        }
        drop(has_it);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["other", "first", "first", "other", "other"]);
        assert!(poll_immediate(turn.take()).await.is_some(), "it is free again");
    }
}
