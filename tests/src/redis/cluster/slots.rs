//! Slots that move from one primary to another, as slowly as in real life.
//!
//! ```text
//! target   SETSLOT slot IMPORTING source     takes what comes with ASKING
//! source   SETSLOT slot MIGRATING target     answers ASK for a key that it does not have (any more)
//! source   MIGRATE …                         key by key, each locked on both sides while it moves
//! target   SETSLOT slot NODE target          the source still thinks that it has the slot
//! source   SETSLOT slot NODE target          and answers MOVED from here on
//! others   SETSLOT slot NODE target          which they would also learn by gossip
//! ```

use std::{ops::RangeInclusive, time::Duration};

use tokio::time::sleep;

use super::{super::server::words, RedisCluster};

/// How slowly slots move.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many keys move at once.
    pub keys: u32,
    /// How long the slot stays between its primaries after each of these, and at least once.
    pub pause: Duration,
}

impl Default for Pace {
    /// Ten keys, and a hundredth of a second.
    fn default() -> Self {
        Self { keys: 10, pause: Duration::from_millis(10) }
    }
}

impl RedisCluster {
    /// Moves slots to a primary, one after the other, with their keys. Clients meet ASK while a slot moves, and MOVED
    /// after it.
    ///
    /// # Panics
    /// When a node refuses; what had begun to move is then where it was left.
    pub async fn move_slots(&self, slots: RangeInclusive<u16>, to: usize, pace: Pace) {
        for slot in slots {
            let from = self.primary_of(slot).await;
            if from != to {
                self.move_slot(slot, from, to, pace).await;
            }
        }
    }

    async fn move_slot(&self, slot: u16, from: usize, to: usize, pace: Pace) {
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let source_id: String = source.tell("CLUSTER MYID").await;
        let target_id: String = target.tell("CLUSTER MYID").await;
        target.tell::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}")).await;
        source.tell::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}")).await;
        sleep(pace.pause).await;
        loop {
            let keys: Vec<Vec<u8>> = source.tell(&format!("CLUSTER GETKEYSINSLOT {slot} {}", pace.keys)).await;
            if keys.is_empty() {
                break;
            }
            let mut migrate = words("MIGRATE 127.0.0.1");
            migrate.arg(target.port()).arg("").arg(0).arg(5000);
            if let Some(password) = self.options.password_of() {
                migrate.arg("AUTH").arg(password);
            }
            migrate.arg("KEYS").arg(keys);
            let mut connection = source.connect().await.expect("the source answers");
            // Not all may be there any more (NOKEY), which is no error.
            let moved: Result<String, _> = migrate.query_async(&mut connection).await;
            moved.unwrap_or_else(|error| panic!("the keys of slot {slot} do not move: {error}"));
            sleep(pace.pause).await;
        }
        let has_it = format!("CLUSTER SETSLOT {slot} NODE {target_id}");
        target.tell::<()>(&has_it).await;
        source.tell::<()>(&has_it).await;
        for other in self.primaries().await {
            if other != from && other != to {
                self.servers[other].tell::<()>(&has_it).await;
            }
        }
    }
}
