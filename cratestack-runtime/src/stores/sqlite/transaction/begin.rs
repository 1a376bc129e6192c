//! Beginning a transaction that claims a key.

use std::sync::Arc;

use cratestack_schema::columns::{ATTEMPT, EXPIRES_AT, KEY, PRINCIPAL_FINGERPRINT};
use sqlx::{AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr, Sqlite};
use uuid::Uuid;

use crate::store::{Begun, Claim, StoreError};
use crate::stores::sql::{OpenTransaction, SAVEPOINT, attempt, dead, held, shared};
use crate::stores::sqlite::database::{Database, NOW};
use crate::stores::sqlite::write::Statements;

/// Always one row: how often a reservation was attempted that is dead but has not expired, and what the time is.
fn attempted(table: &str) -> String {
    format!(
        "SELECT (
            SELECT COALESCE({ATTEMPT}, 1) FROM {table} AS held
            WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {EXPIRES_AT} > {NOW} AND {dead}
        ), {NOW}",
        dead = dead("held", NOW, "?3"),
    )
}

#[derive(Debug)]
pub(in crate::stores::sqlite) struct Begin {
    database: Database,
    statements: Arc<Statements>,
    attempted: SqlStr,
}

impl Begin {
    pub(in crate::stores::sqlite) fn new(database: Database, statements: Arc<Statements>) -> Self {
        Self { attempted: shared(attempted(&database.table.sql())), database, statements }
    }

    pub(super) async fn run(&self, claim: Option<Claim<'_>>) -> Result<Begun<OpenTransaction<Sqlite>>, StoreError> {
        let Some(claim) = claim else {
            let transaction = self.open().await?;
            return Ok(Begun::Reserved { transaction, token: Uuid::nil(), attempt: 0 });
        };
        let (database, reserve) = (&self.database, &self.statements.reserve);
        // A replay needs no turn.
        let mut connection = database.acquire().await?;
        if let Some(outcome) = reserve.live(database, &mut connection, &claim).await? {
            return Ok(held(outcome));
        }
        drop(connection);
        let mut open = self.open().await?;
        if let Some(outcome) = reserve.live(database, open.connection_mut(), &claim).await? {
            return Ok(held(outcome));
        }
        let row = sqlx::query(self.attempted.clone())
            .bind(claim.principal)
            .bind(claim.key)
            .bind(claim.request_hash.as_slice())
            .fetch_one(open.connection_mut())
            .await
            .map_err(database.error())?;
        open.began = row.try_get(1).map_err(database.error())?;
        let dead: Option<i64> = row.try_get(0).map_err(database.error())?;
        let attempt = dead.map_or(1, |count| attempt(Some(count)).saturating_add(1));
        Ok(Begun::Reserved { transaction: open, token: Uuid::new_v4(), attempt })
    }

    async fn open(&self) -> Result<OpenTransaction<Sqlite>, StoreError> {
        let turn = self.database.turn.take().await;
        let connection = self.database.acquire().await?;
        let begin = SqlStr::from_static("BEGIN IMMEDIATE");
        let mut open = OpenTransaction::begin(connection, begin, Some(turn)).await.map_err(self.database.error())?;
        on_savepoint(&mut open, "SAVEPOINT").await.map_err(self.database.error())?;
        Ok(open)
    }
}

/// A statement about the savepoint.
pub(super) async fn on_savepoint(open: &mut OpenTransaction<Sqlite>, verb: &str) -> Result<(), sqlx::Error> {
    let statement = AssertSqlSafe(format!("{verb} {SAVEPOINT}")).into_sql_str();
    sqlx::raw_sql(statement).execute(open.connection_mut()).await.map(drop)
}
