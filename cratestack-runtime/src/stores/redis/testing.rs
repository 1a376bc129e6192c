//! What the tests of a service do to the records.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::RedisStore;
use super::command::{Command, Kind, ScriptCall};
use super::keyspace::{Keyspace, TICK};
use super::records::Scan;
use super::script::Script;
use crate::store::{RecordIdRef, RecordQuery, RecordState, StoreError};

static AGE: LazyLock<Script> = LazyLock::new(|| Script::new(&[include_str!("scripts/age.lua")]));

impl RedisStore {
    /// The store as another process has it: with connections of its own.
    pub(crate) fn of_another_process(&self) -> Self {
        let server = Arc::new(self.keyspace.server.anew());
        Self::with(Keyspace { server, ..(*self.keyspace).clone() }, self.group_commit)
    }

    pub(crate) async fn age(&self, by: Duration) -> Result<(), StoreError> {
        let mut scan = Scan::new(&self.keyspace).await?;
        let mut names = Vec::new();
        while let Some(page) = scan.next().await? {
            names.extend(page);
        }
        // A scan may name a key twice.
        names.sort_unstable();
        names.dedup();
        for name in names {
            let Some((principal, key)) = self.keyspace.prefix.split(&name) else { continue };
            let id = RecordIdRef { principal: &principal, key: &key };
            let command = Command::new(&AGE, &self.keyspace.name(id), Kind::Other).arg(TICK.count(by));
            self.run(id, &ScriptCall::new(command)).await?;
        }
        Ok(())
    }

    pub(crate) async fn longest_lease(&self) -> Result<Duration, StoreError> {
        let query = RecordQuery::new(u32::MAX).states([RecordState::InFlight]);
        let running = self.infos(&query).await?;
        let leases = running.iter().filter_map(|info| info.lease_ends_at?.duration_since(info.now).ok());
        Ok(leases.max().unwrap_or_default())
    }
}
