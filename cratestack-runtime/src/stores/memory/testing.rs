//! What the tests of a service do with the store's clock.

use std::time::Duration;

use super::MemoryStore;
use super::rows::Deadline;
use crate::util::lock;

impl MemoryStore {
    pub(crate) fn age(&self, by: Duration) {
        let mut ahead = lock(&self.shared.ahead);
        *ahead = ahead.saturating_add(by);
    }

    /// How long it takes until no lease of a run is left that can end.
    pub(crate) fn longest_lease(&self) -> Duration {
        let now = self.shared.now();
        let mut longest = Duration::ZERO;
        for shard in &self.shared.shards {
            let rows = lock(shard);
            let running = rows.by_id.values().filter(|row| row.outcome.is_none());
            let leases = running.filter_map(|row| match row.lease {
                Deadline::At(end) => Some(end.saturating_duration_since(now)),
                Deadline::Never => None,
            });
            longest = leases.fold(longest, Duration::max);
        }
        longest
    }
}
