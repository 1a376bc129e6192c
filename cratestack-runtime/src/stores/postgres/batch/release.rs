use uuid::Uuid;

use super::Database;
use super::line::{Entry, Kind};
use crate::stores::postgres::watch::lock_of;

/// One release.
pub(super) struct Release {
    pub(super) principal: Box<str>,
    pub(super) key: Box<str>,
    pub(super) token: Uuid,
}

#[derive(Debug)]
pub(super) struct Releasing(pub(super) Database);

impl Kind for Releasing {
    type Call = Release;
    type Answer = ();

    /// See [`Finishing`](super::Finishing).
    const MOST: usize = 64;

    const CROWDED_LANES: usize = 2;

    fn names(call: &Release) -> (&str, &str) {
        (&call.principal, &call.key)
    }

    // A repeated call finds the row gone, so it can stay.
    async fn run(&self, batch: Vec<Entry<Self>>) {
        let Self(database) = self;
        let of = |entry: &Entry<Self>| lock_of(database.table.table(), &entry.call.principal, &entry.call.key);
        let locks: Vec<_> = batch.iter().map(of).collect();
        let statement = sqlx::query(database.sql.release.clone())
            .bind(batch.iter().map(|entry| &*entry.call.principal).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| &*entry.call.key).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| entry.call.token).collect::<Vec<_>>())
            .bind(&locks)
            .bind(i64::try_from(batch.len()).unwrap_or(i64::MAX));
        match database.run_first(statement).await {
            Ok(_) => {
                for entry in batch {
                    entry.answer(Ok(()));
                }
            }
            Err(failure) => failure.tell(batch),
        }
    }
}
