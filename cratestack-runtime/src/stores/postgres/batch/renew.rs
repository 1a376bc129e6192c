use uuid::Uuid;

use super::line::{Entry, Kind, without_repeats};
use super::{Database, answered};

/// One renewal, its times in ticks.
pub(super) struct Renew {
    pub(super) principal: Box<str>,
    pub(super) key: Box<str>,
    pub(super) token: Uuid,
    pub(super) lease: i64,
    pub(super) retention: i64,
}

#[derive(Debug)]
pub(super) struct Renewing(pub(super) Database);

impl Kind for Renewing {
    type Call = Renew;
    /// Whether the reservation was still held.
    type Answer = bool;

    const MOST: usize = 256;

    const CROWDED_LANES: usize = 2;

    fn names(call: &Renew) -> (&str, &str) {
        (&call.principal, &call.key)
    }

    async fn run(&self, batch: Vec<Entry<Self>>) {
        let Self(database) = self;
        let (batch, repeats) = without_repeats(batch);
        let statement = sqlx::query(database.sql.renew.clone())
            .bind(batch.iter().map(|entry| &*entry.call.principal).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| &*entry.call.key).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| entry.call.token).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| entry.call.lease).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| entry.call.retention).collect::<Vec<_>>())
            .bind(i64::try_from(batch.len()).unwrap_or(i64::MAX));
        let rows = database.run_first(statement).await;
        match rows.and_then(|rows| answered(&rows, batch.len(), &database.table)) {
            Ok(renewed) => {
                for (entry, renewed) in batch.into_iter().zip(renewed) {
                    entry.answer(Ok(renewed));
                }
            }
            Err(failure) => failure.tell(batch),
        }
        repeats.into_iter().for_each(Entry::send_alone);
    }
}
