use std::future::Future;
use std::sync::Arc;

use cratestack_schema::{Dialect, TableName};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgPool, Postgres, Row as _, SqlStr};

use super::connection::PriorityPool;
use super::lock::lock_of;
use super::timestamptz::Timestamptz;
use super::transaction::connections::TransactionConnections;
use crate::store::{ClaimOutcome, RecordIdRef, StoreError};
use crate::stores::batch::{Operation, Pending};
use crate::stores::sql::{BatchError, Cause, Row, in_table, store_error};

/// What statements are run on.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) pool: PgPool,
    /// For what ends or renews a reservation.
    pub(super) priority: PriorityPool,
    pub(super) transactions: TransactionConnections,
    pub(super) table: Arc<TableName>,
}

impl Database {
    pub(super) fn new(pool: PgPool, table: TableName) -> Self {
        let transactions = TransactionConnections::new(pool.clone(), 0);
        Self { priority: PriorityPool::new(pool.clone()), transactions, pool, table: Arc::new(table) }
    }

    pub(super) fn error(&self) -> impl Fn(sqlx::Error) -> StoreError {
        |error| store_error(Dialect::Postgres, &self.table, error)
    }

    /// How many statements of one operation may be on their way, however far the server is: half of the pool's
    /// connections, so that reservations, which come in crowds, leave outcomes the other half.
    pub(super) fn max_slots(&self) -> usize {
        usize::try_from(self.pool.options().get_max_connections() / 2).unwrap_or(usize::MAX).max(1)
    }

    /// The number that stands for a key of the table.
    pub(super) fn lock_of(&self, id: RecordIdRef<'_>) -> i64 {
        lock_of(self.table.table(), id)
    }

    /// What a statement for many keys returned, once it is committed.
    ///
    /// Where the database refuses it for something that one row may be to blame for (it is too long for the index, it
    /// is locked by a transaction that takes its time, a trigger objects), nothing has happened.
    pub(super) async fn run_many(
        &self,
        statement: impl Future<Output = Result<Vec<PgRow>, sqlx::Error>>,
    ) -> Result<Vec<PgRow>, BatchError> {
        statement.await.map_err(|error| {
            let is_divisible = match Cause::of_sqlx(&error) {
                Some(cause) => !matches!(cause, Cause::Unavailable | Cause::Schema),
                // Nothing has been sent.
                None => matches!(error, sqlx::Error::Encode(_)),
            };
            if is_divisible { BatchError::Divisible } else { self.unknown()(error) }
        })
    }

    /// The same, for a statement that ends or renews reservations.
    pub(super) async fn run_many_with_priority(
        &self,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, BatchError> {
        self.run_many(async { statement.fetch_all(&mut *self.priority.acquire().await?.connection).await }).await
    }

    /// The row of a statement for one key that ends a reservation.
    pub(super) async fn fetch_with_priority(
        &self,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<Option<PgRow>, StoreError> {
        self.try_fetch_with_priority(statement).await.map_err(self.error())
    }

    /// The same, with the error as the database told it.
    pub(super) async fn try_fetch_with_priority(
        &self,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<Option<PgRow>, sqlx::Error> {
        let mut priority = self.priority.acquire().await?;
        statement.fetch_optional(&mut *priority.connection).await
    }

    /// Answers each call of a batch by the row that bears its ordinal, and by `otherwise` where there is none.
    pub(super) fn answer_by_ordinal<O: Operation<Answer: Clone>>(
        &self,
        batch: Vec<Pending<O>>,
        rows: Result<Vec<PgRow>, BatchError>,
        otherwise: O::Answer,
        read: impl Fn(&PgRow) -> Result<O::Answer, sqlx::Error>,
    ) {
        let answers = rows.and_then(|rows| {
            let mut answers = vec![otherwise; batch.len()];
            for row in &rows {
                let index = ordinal(row, 0).map_err(self.unknown())?;
                if let Some(answer) = answers.get_mut(index) {
                    *answer = read(row).map_err(self.unknown())?;
                }
            }
            Ok(answers)
        });
        match answers {
            Ok(answers) => batch.into_iter().zip(answers).for_each(|(call, answer)| call.answer(Ok(answer))),
            Err(error) => error.answer_all(batch),
        }
    }

    /// Of a batch whose answer was lost, or cannot be read.
    pub(super) fn unknown(&self) -> impl Fn(sqlx::Error) -> BatchError {
        |error| BatchError::Unknown(self.error()(error))
    }

    /// What a live row means to a caller, read from the six columns that the statements of `reserve` and of a
    /// transaction's beginning select behind their first one, in this order.
    pub(super) fn classify(
        &self,
        row: &PgRow,
        id: RecordIdRef<'_>,
        request_hash: [u8; 32],
    ) -> Result<ClaimOutcome, StoreError> {
        let moment = |column| row.try_get::<Timestamptz, _>(column).map(|Timestamptz(time)| time).map_err(self.error());
        let row = Row {
            request_hash: row.try_get(1).map_err(self.error())?,
            status: row.try_get::<Option<i32>, _>(2).map_err(self.error())?.map(i64::from),
            headers: row.try_get(3).map_err(self.error())?,
            body: row.try_get(4).map_err(self.error())?,
            created_at: moment(5)?,
            expires_at: moment(6)?,
        };
        row.classify(id, request_hash).map_err(in_table(&self.table))
    }
}

/// A statement about many keys, whose principals and keys are its first two parameters.
pub(super) fn about_each<'a>(
    statement: &SqlStr,
    ids: impl Iterator<Item = RecordIdRef<'a>> + Clone,
) -> Query<'static, Postgres, PgArguments> {
    let principals: Vec<_> = ids.clone().map(|id| id.principal).collect();
    sqlx::query(statement.clone()).bind(principals).bind(ids.map(|id| id.key).collect::<Vec<_>>())
}

/// How many a batch's last parameter says that there are.
pub(super) fn count_of<T>(batch: &[T]) -> i64 {
    i64::try_from(batch.len()).unwrap_or(i64::MAX)
}

/// The index that an ordinal of SQL, which counts from one, stands for.
pub(super) fn ordinal(row: &PgRow, column: usize) -> Result<usize, sqlx::Error> {
    let ordinal: i64 = row.try_get(column)?;
    Ok(usize::try_from(ordinal.saturating_sub(1)).unwrap_or(usize::MAX))
}

/// Postgres text holds every character but this one. Found here, it costs its sender an error and nobody else a round
/// trip.
pub(super) fn refuse_nul(id: RecordIdRef<'_>) -> Result<(), StoreError> {
    for (what, text) in [("principal", id.principal), ("key", id.key)] {
        if text.contains('\0') {
            return Err(StoreError::Database(format!(
                "the {what} contains a NUL character, which Postgres text cannot hold"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_refused_without_being_told() {
        assert_eq!(refuse_nul(RecordIdRef { principal: "alice", key: "k" }), Ok(()));
        for (principal, key, what) in [("ali\0ce", "k", "principal"), ("alice", "\0k", "key")] {
            let Err(StoreError::Database(text)) = refuse_nul(RecordIdRef { principal, key }) else { panic!() };
            assert!(text.starts_with(&format!("the {what} contains")) && !text.contains("ali"), "{text}");
        }
    }
}
