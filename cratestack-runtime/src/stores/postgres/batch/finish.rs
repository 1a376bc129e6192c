use bytes::Bytes;
use uuid::Uuid;

use super::line::{Entry, Kind, without_repeats};
use super::{Database, answered};
use crate::Completion;
use crate::stores::postgres::watch::lock_of;

/// One completion.
pub(super) struct Finish {
    principal: Box<str>,
    key: Box<str>,
    token: Uuid,
    status: i32,
    headers: Box<[u8]>,
    body: Bytes,
}

impl Finish {
    pub(super) fn new(completion: &Completion<'_>) -> Self {
        Self {
            principal: completion.principal.into(),
            key: completion.key.into(),
            token: completion.token,
            status: i32::from(completion.status),
            headers: completion.headers.into(),
            body: completion.body.clone(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Finishing(pub(super) Database);

impl Kind for Finishing {
    type Call = Finish;
    /// Whether the outcome was recorded.
    type Answer = bool;

    /// Each row may take an advisory lock, of which a server has 64 for each connection (`max_locks_per_transaction`).
    const MOST: usize = 64;

    const CROWDED_LANES: usize = 2;

    fn names(call: &Finish) -> (&str, &str) {
        (&call.principal, &call.key)
    }

    async fn run(&self, batch: Vec<Entry<Self>>) {
        let Self(database) = self;
        let (batch, repeats) = without_repeats(batch);
        let of = |entry: &Entry<Self>| lock_of(database.table.table(), &entry.call.principal, &entry.call.key);
        let locks: Vec<_> = batch.iter().map(of).collect();
        let statement = sqlx::query(database.sql.finish.clone())
            .bind(batch.iter().map(|entry| &*entry.call.principal).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| &*entry.call.key).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| entry.call.token).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| entry.call.status).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| &*entry.call.headers).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| &*entry.call.body).collect::<Vec<_>>())
            .bind(&locks)
            .bind(i64::try_from(batch.len()).unwrap_or(i64::MAX));
        let rows = database.run_first(statement).await;
        match rows.and_then(|rows| answered(&rows, batch.len(), &database.table)) {
            Ok(recorded) => {
                for (entry, recorded) in batch.into_iter().zip(recorded) {
                    entry.answer(Ok(recorded));
                }
            }
            Err(failure) => failure.tell(batch),
        }
        repeats.into_iter().for_each(Entry::send_alone);
    }
}
