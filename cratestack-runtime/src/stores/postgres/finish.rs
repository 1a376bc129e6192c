//! Recording an outcome.

use cratestack_schema::columns::{
    KEY, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_BODY, RESPONSE_HEADERS, RESPONSE_STATUS, STEPS, STEPS_TOKEN,
};
use sqlx::SqlStr;
use uuid::Uuid;

use super::compression::{Lz4, by_lz4};
use super::database::{Database, about_each, count_of};
use super::lock::class_of;
use super::sql::{asked, in_flight, notifying, notifying_each};
use crate::store::{Completion, RecordIdRef, StoreError};
use crate::stores::batch::{Call, Operation, Pending, split_repeats};
use crate::stores::sql::{OwnedCompletion, about, shared};

/// Touches no indexed column, so that the update stays within its page (HOT).
fn one(table: &str, class: i32, lz4: bool) -> String {
    let finish = format!(
        "UPDATE {table} SET {RESPONSE_STATUS} = $4, {RESPONSE_HEADERS} = $5, {RESPONSE_BODY} = $6,
            {STEPS} = NULL, {STEPS_TOKEN} = NULL
        WHERE {PRINCIPAL_FINGERPRINT} = $1 AND {KEY} = $2 AND {RESERVATION_ID} = $3 AND {RESPONSE_STATUS} IS NULL{lz4}",
        lz4 = and_by_lz4(lz4, "$6"),
    );
    notifying(&finish, class, "$7::bigint")
}

fn and_by_lz4(lz4: bool, body: &str) -> String {
    if lz4 { format!("\n        AND {}", by_lz4(body)) } else { String::new() }
}

fn many(table: &str, class: i32, lz4: bool) -> String {
    let finish = format!(
        "UPDATE {table} AS held SET
            {RESPONSE_STATUS} = asked.status, {RESPONSE_HEADERS} = asked.headers, {RESPONSE_BODY} = asked.body,
            {STEPS} = NULL, {STEPS_TOKEN} = NULL
        FROM ({asked}) AS asked
        WHERE {held}{lz4}",
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
        lz4 = and_by_lz4(lz4, "asked.body"),
    );
    notifying_each(&finish, class)
}

fn of_token(table: &str) -> String {
    format!("SELECT 1 FROM {table} WHERE {PRINCIPAL_FINGERPRINT} = $1 AND {KEY} = $2 AND {RESERVATION_ID} = $3")
}

#[derive(Debug)]
pub(super) struct Finish {
    database: Database,
    by_lz4: Statements,
    by_default: Statements,
    lz4: Lz4,
    of_token: SqlStr,
}

#[derive(Debug)]
struct Statements {
    one: SqlStr,
    many: SqlStr,
}

impl Statements {
    fn new(table: &str, class: i32, lz4: bool) -> Self {
        Self { one: shared(one(table, class, lz4)), many: shared(many(table, class, lz4)) }
    }
}

impl Call<Finish> for Completion<'_> {
    fn bytes(self) -> usize {
        self.headers.len() + self.body.len()
    }

    async fn run_one(self, id: RecordIdRef<'_>, finish: &Finish) -> Result<bool, StoreError> {
        let database = &finish.database;
        loop {
            let (statements, asks_for_lz4) = finish.statements();
            let statement = about(&statements.one, id)
                .bind(self.token)
                .bind(i32::from(self.status))
                .bind(self.headers)
                .bind(&**self.body)
                .bind(database.lock_of(id));
            match database.try_fetch_with_priority(statement).await {
                Err(error) if asks_for_lz4 && finish.lz4.was_refused(&error) => {}
                found => return Ok(found.map_err(database.error())?.is_some()),
            }
        }
    }
}

impl Operation for Finish {
    type Args = OwnedCompletion;
    /// Whether the outcome was recorded by this call.
    type Answer = bool;

    /// Each row may take an advisory lock, of which a server has 64 for each connection (`max_locks_per_transaction`).
    const MAX_BATCH: usize = 64;

    fn max_slots(&self) -> usize {
        self.database.max_slots()
    }

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        let (batch, repeats) = split_repeats(batch);
        let statement = about_each(&self.statements().0.many, batch.iter().map(|call| call.id.as_ref()))
            .bind(batch.iter().map(|call| call.args.token).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| i32::from(call.args.status)).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| &*call.args.headers).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| &*call.args.body).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| self.database.lock_of(call.id.as_ref())).collect::<Vec<_>>())
            .bind(count_of(&batch));
        let rows = self.database.run_many_with_priority(statement).await;
        self.database.answer_by_ordinal(batch, rows, false, |_| Ok(true));
        repeats.into_iter().for_each(Pending::let_run_one);
    }
}

impl Finish {
    pub(super) fn new(database: Database) -> Self {
        let (table, class) = (&database.table.sql(), class_of(database.table.table()));
        let [by_lz4, by_default] = [true, false].map(|lz4| Statements::new(table, class, lz4));
        Self { by_lz4, by_default, lz4: Lz4::default(), of_token: shared(of_token(table)), database }
    }

    /// Those to use, and whether they ask for `lz4`.
    fn statements(&self) -> (&Statements, bool) {
        if self.lz4.is_refused() { (&self.by_default, false) } else { (&self.by_lz4, true) }
    }

    /// Whether the row bears this token, in flight or finished.
    pub(super) async fn is_of_token(&self, id: RecordIdRef<'_>, token: Uuid) -> Result<bool, StoreError> {
        let of_token = about(&self.of_token, id).bind(token);
        Ok(self.database.fetch_with_priority(of_token).await?.is_some())
    }
}
