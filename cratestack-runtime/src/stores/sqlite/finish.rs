//! Recording an outcome.

use cratestack_schema::columns::{
    KEY, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_BODY, RESPONSE_HEADERS, RESPONSE_STATUS, STEPS, STEPS_TOKEN,
};
use sqlx::{SqlStr, SqliteConnection};
use uuid::Uuid;

use crate::store::{Completion, RecordIdRef};
use crate::stores::sql::{about, shared};

fn finish(table: &str) -> String {
    format!(
        "UPDATE {table} SET {RESPONSE_STATUS} = ?4, {RESPONSE_HEADERS} = ?5, {RESPONSE_BODY} = ?6,
            {STEPS} = NULL, {STEPS_TOKEN} = NULL
        WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {RESERVATION_ID} = ?3 AND {RESPONSE_STATUS} IS NULL"
    )
}

fn of_token(table: &str) -> String {
    format!("SELECT 1 FROM {table} WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {RESERVATION_ID} = ?3")
}

#[derive(Debug)]
pub(super) struct Finish {
    finish: SqlStr,
    of_token: SqlStr,
}

impl Finish {
    pub(super) fn new(table: &str) -> Self {
        Self { finish: shared(finish(table)), of_token: shared(of_token(table)) }
    }

    /// Whether the outcome was recorded by this call.
    pub(super) async fn finish(
        &self,
        connection: &mut SqliteConnection,
        completion: Completion<'_>,
    ) -> Result<bool, sqlx::Error> {
        let finished = about(&self.finish, completion.id())
            .bind(completion.token)
            .bind(i64::from(completion.status))
            .bind(completion.headers)
            .bind(&**completion.body)
            .execute(connection)
            .await?;
        Ok(finished.rows_affected() > 0)
    }

    /// Whether the row bears this token, in flight or finished.
    pub(super) async fn is_of_token(
        &self,
        connection: &mut SqliteConnection,
        id: RecordIdRef<'_>,
        token: Uuid,
    ) -> Result<bool, sqlx::Error> {
        let of_token = about(&self.of_token, id).bind(token);
        Ok(of_token.fetch_optional(connection).await?.is_some())
    }
}
