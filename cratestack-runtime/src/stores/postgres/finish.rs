//! Recording an outcome.

use cratestack_schema::columns::{
    KEY, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_BODY, RESPONSE_HEADERS, RESPONSE_STATUS,
};
use sqlx::SqlStr;
use uuid::Uuid;

use super::database::{Database, count_of, ordinal};
use super::lock::class_of;
use super::sql::{asked, in_flight, notifying, notifying_each};
use crate::store::{Completion, RecordIdRef, StoreError};
use crate::stores::sql::{BatchError, Call, Operation, OwnedCompletion, Pending, shared, split_repeats};

/// Touches no indexed column, so that the update stays within its page (HOT).
fn one(table: &str, class: i32) -> String {
    let finish = format!(
        "UPDATE {table} SET {RESPONSE_STATUS} = $4, {RESPONSE_HEADERS} = $5, {RESPONSE_BODY} = $6
        WHERE {PRINCIPAL_FINGERPRINT} = $1 AND {KEY} = $2 AND {RESERVATION_ID} = $3 AND {RESPONSE_STATUS} IS NULL"
    );
    notifying(&finish, class, "$7::bigint")
}

fn many(table: &str, class: i32) -> String {
    let finish = format!(
        "UPDATE {table} AS held SET
            {RESPONSE_STATUS} = asked.status, {RESPONSE_HEADERS} = asked.headers, {RESPONSE_BODY} = asked.body
        FROM ({asked}) AS asked
        WHERE {held}",
        asked = asked(&[
            ("principal", "text"),
            ("name", "text"),
            ("token", "uuid"),
            ("status", "int"),
            ("headers", "bytea"),
            ("body", "bytea"),
            ("lock", "bigint"),
        ]),
        held = in_flight("held"),
    );
    notifying_each(&finish, class)
}

fn of_token(table: &str) -> String {
    format!("SELECT 1 FROM {table} WHERE {PRINCIPAL_FINGERPRINT} = $1 AND {KEY} = $2 AND {RESERVATION_ID} = $3")
}

#[derive(Debug)]
pub(super) struct Finish {
    database: Database,
    one: SqlStr,
    many: SqlStr,
    of_token: SqlStr,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct FinishCall<'a>(pub(super) Completion<'a>);

impl Call for FinishCall<'_> {
    type Operation = Finish;

    fn id(&self) -> RecordIdRef<'_> {
        self.0.id()
    }

    fn to_args(self) -> OwnedCompletion {
        OwnedCompletion::new(self.0)
    }

    fn bytes(self) -> usize {
        self.0.headers.len() + self.0.body.len()
    }

    async fn run_one(self, Finish { database, one, .. }: &Finish) -> Result<bool, StoreError> {
        let Completion { principal, key, token, status, headers, body } = self.0;
        let mut connection = database.priority.acquire().await.map_err(database.error())?;
        let recorded = sqlx::query(one.clone())
            .bind(principal)
            .bind(key)
            .bind(token)
            .bind(i32::from(status))
            .bind(headers)
            .bind(&**body)
            .bind(database.lock_of(RecordIdRef { principal, key }))
            .fetch_optional(&mut *connection)
            .await
            .map_err(database.error())?;
        Ok(recorded.is_some())
    }
}

impl Operation for Finish {
    type Args = OwnedCompletion;
    /// Whether the outcome was recorded by this call.
    type Answer = bool;

    /// Each row may take an advisory lock, of which a server has 64 for each connection (`max_locks_per_transaction`).
    const MAX_BATCH: usize = 64;

    const MAX_WORKERS_WHEN_CROWDED: usize = 2;

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        let (batch, repeats) = split_repeats(batch);
        match self.finish(&batch).await {
            Ok(recorded) => {
                for (call, recorded) in batch.into_iter().zip(recorded) {
                    call.answer(Ok(recorded));
                }
            }
            Err(error) => error.answer_all(batch),
        }
        repeats.into_iter().for_each(Pending::run_alone);
    }
}

impl Finish {
    pub(super) fn new(database: Database) -> Self {
        let (table, class) = (&database.table.sql(), class_of(database.table.table()));
        let (one, many) = (shared(one(table, class)), shared(many(table, class)));
        Self { one, many, of_token: shared(of_token(table)), database }
    }

    async fn finish(&self, batch: &[Pending<Self>]) -> Result<Vec<bool>, BatchError> {
        let locks: Vec<_> = batch.iter().map(|call| self.database.lock_of(call.id.as_ref())).collect();
        let statement = sqlx::query(self.many.clone())
            .bind(batch.iter().map(|call| call.id.principal()).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| call.id.key()).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| call.args.token).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| i32::from(call.args.status)).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| &*call.args.headers).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| &*call.args.body).collect::<Vec<_>>())
            .bind(&locks)
            .bind(count_of(batch));
        let mut recorded = vec![false; batch.len()];
        for row in self.database.run_many_with_priority(statement).await? {
            let index = ordinal(&row, 0).map_err(self.database.unknown())?;
            if let Some(recorded) = recorded.get_mut(index) {
                *recorded = true;
            }
        }
        Ok(recorded)
    }

    /// Whether the row bears this token, in flight or finished.
    pub(super) async fn is_of_token(&self, id: RecordIdRef<'_>, token: Uuid) -> Result<bool, StoreError> {
        let mut connection = self.database.priority.acquire().await.map_err(self.database.error())?;
        let found = sqlx::query(self.of_token.clone())
            .bind(id.principal)
            .bind(id.key)
            .bind(token)
            .fetch_optional(&mut *connection)
            .await
            .map_err(self.database.error())?;
        Ok(found.is_some())
    }
}
