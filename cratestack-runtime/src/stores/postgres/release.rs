//! Giving a key back.

use cratestack_schema::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_STATUS,
};
use sqlx::SqlStr;
use uuid::Uuid;

use super::database::{Database, about_each, count_of};
use super::lock::class_of;
use super::sql::{CLOCK, asked, in_flight, notifying, notifying_each};
use crate::store::{RecordIdRef, StoreError};
use crate::stores::batch::{Call, Operation, Pending};
use crate::stores::sql::{about, has_steps, shared};

fn one(table: &str, class: i32) -> String {
    let held = format!(
        "held.{PRINCIPAL_FINGERPRINT} = $1 AND held.{KEY} = $2 AND held.{RESERVATION_ID} = $3
        AND held.{RESPONSE_STATUS} IS NULL"
    );
    let (lapse, took_over) = (lapse(), took_over());
    let lapse = format!("UPDATE {table} AS held SET {lapse} WHERE {held} AND {took_over}");
    let delete = format!("DELETE FROM {table} AS held WHERE {held} AND NOT {took_over}");
    released(&notifying(&lapse, class, "$4::bigint"), &notifying(&delete, class, "$4::bigint"))
}

fn many(table: &str, class: i32) -> String {
    let asked = asked(&[("principal", "text"), ("name", "text"), ("token", "uuid"), ("lock", "bigint")]);
    let held = in_flight("held");
    let (lapse, took_over) = (lapse(), took_over());
    let lapse = format!("UPDATE {table} AS held SET {lapse} FROM ({asked}) AS asked WHERE {held} AND {took_over}");
    let delete = format!("DELETE FROM {table} AS held USING ({asked}) AS asked WHERE {held} AND NOT {took_over}");
    released(&notifying_each(&lapse, class), &notifying_each(&delete, class))
}

/// Of the row `held`: whether it was taken over from a reservation that went silent.
fn took_over() -> String {
    format!("(COALESCE(held.{ATTEMPT}, 1) > 1 OR {has_steps})", has_steps = has_steps("held"))
}

/// Ends the lease of the row `held`, so that it counts as one that has ended.
fn lapse() -> String {
    format!(
        "{LEASE_EXPIRES_AT} =
            LEAST(GREATEST({CLOCK}, held.{CREATED_AT} + INTERVAL '1 microsecond'), held.{EXPIRES_AT})"
    )
}

/// One statement that lets the leases of reservations lapse that took over, and deletes the others.
fn released(lapse: &str, delete: &str) -> String {
    format!("WITH lapsed AS ({lapse}), deleted AS ({delete}) SELECT * FROM lapsed UNION ALL SELECT * FROM deleted")
}

#[derive(Debug)]
pub(super) struct Release {
    database: Database,
    one: SqlStr,
    many: SqlStr,
}

impl Release {
    pub(super) fn new(database: Database) -> Self {
        let (table, class) = (&database.table.sql(), class_of(database.table.table()));
        Self { one: shared(one(table, class)), many: shared(many(table, class)), database }
    }
}

/// The reservation's token.
impl Call<Release> for Uuid {
    async fn run_one(self, id: RecordIdRef<'_>, Release { database, one, .. }: &Release) -> Result<(), StoreError> {
        let release = about(one, id).bind(self).bind(database.lock_of(id));
        database.fetch_with_priority(release).await.map(drop)
    }
}

impl Operation for Release {
    type Args = Uuid;
    type Answer = ();

    /// Each row may take an advisory lock, as one that is finished may.
    const MAX_BATCH: usize = 64;

    // A repeated call finds the row gone, so it can stay.
    fn max_slots(&self) -> usize {
        self.database.max_slots()
    }

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        let statement = about_each(&self.many, batch.iter().map(|call| call.id.as_ref()))
            .bind(batch.iter().map(|call| call.args).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| self.database.lock_of(call.id.as_ref())).collect::<Vec<_>>())
            .bind(count_of(&batch));
        match self.database.run_many_with_priority(statement).await {
            Ok(_) => batch.into_iter().for_each(|call| call.answer(Ok(()))),
            Err(error) => error.answer_all(batch),
        }
    }
}
