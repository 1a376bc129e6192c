use std::time::Instant;

use uuid::Uuid;

use super::line::{Entry, Kind, without_repeats};
use super::{Database, Failure, ordinal};
use crate::stores::postgres::{refused, renewal};
use crate::stores::renewal::Renewal;

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
    type Answer = Renewal;

    const MOST: usize = 256;

    const CROWDED_LANES: usize = 2;

    fn names(call: &Renew) -> (&str, &str) {
        (&call.principal, &call.key)
    }

    async fn run(&self, batch: Vec<Entry<Self>>) {
        let (batch, repeats) = without_repeats(batch);
        match self.renew(&batch).await {
            Ok(renewals) => {
                for (entry, renewal) in batch.into_iter().zip(renewals) {
                    entry.answer(Ok(renewal));
                }
            }
            Err(failure) => failure.tell(batch),
        }
        repeats.into_iter().for_each(Entry::send_alone);
    }
}

impl Renewing {
    async fn renew(&self, batch: &[Entry<Self>]) -> Result<Vec<Renewal>, Failure> {
        let Self(database) = self;
        let unreadable = |error| Failure::Whole(refused(&database.table)(error));
        let mut connection = database.priority.acquire().await.map_err(unreadable)?;
        let sent = Instant::now();
        let statement = sqlx::query(database.sql.renew.clone())
            .bind(batch.iter().map(|entry| &*entry.call.principal).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| &*entry.call.key).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| entry.call.token).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| entry.call.lease).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| entry.call.retention).collect::<Vec<_>>())
            .bind(i64::try_from(batch.len()).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection);
        let mut renewals = vec![Renewal::Lost; batch.len()];
        for row in database.run(statement).await? {
            let index = ordinal(&row, 0).map_err(unreadable)?;
            if let Some(of_entry) = renewals.get_mut(index) {
                *of_entry = renewal(&row, 1, sent).map_err(unreadable)?;
            }
        }
        Ok(renewals)
    }
}
