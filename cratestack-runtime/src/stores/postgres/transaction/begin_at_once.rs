//! Beginning a transaction, claiming its key and looking at its row, in one message.
//!
//! A message of several statements has no parameters, so what is looked for stands in its text, as hexadecimal digits:
//! no setting of the session changes how those are read, and none of them ends a literal. What comes back are numbers
//! and booleans, whose spelling depends on no setting either. An outcome that is found is fetched by a statement of its
//! own.
//!
//! A server that logs an error logs the statement's text with it. So a principal and a key can stand in its log, in
//! hexadecimal digits; an outcome never does, because it is recorded by a statement that has parameters.

use cratestack_schema::columns::{ATTEMPT, EXPIRES_AT, KEY, PRINCIPAL_FINGERPRINT};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr};
use uuid::Uuid;

use super::begin::{begin, claiming, ours};
use crate::store::{Claim, Isolation};
use crate::stores::sql::{SAVEPOINT, dead};
use crate::util::hex;

#[derive(Debug)]
pub(super) struct BeginAtOnce {
    table: String,
    oid: String,
}

/// What the text has found.
#[derive(Debug)]
pub(super) struct FoundAtOnce {
    /// There is a row, and it is nobody's to take over.
    pub(super) is_live: bool,
    /// The attempt of a row that is dead and has not expired.
    pub(super) attempt_before: Option<i32>,
    pub(super) is_standby: bool,
    /// The transaction has got the key's lock.
    pub(super) is_ours: bool,
    pub(super) pid: i32,
    pub(super) table: i64,
}

impl BeginAtOnce {
    pub(super) fn new(table: &str, oid: &str) -> Self {
        Self { table: table.to_owned(), oid: oid.to_owned() }
    }

    /// Its rows are what the look has found, and whether the key was claimed. The claim comes before the look, whose
    /// statement then sees what the lock's last holder has committed.
    ///
    /// Serializable transactions that look into the table are in each other's way, so there the look comes first, in a
    /// transaction of its own, as in `begin_serializable`.
    pub(super) fn text(&self, isolation: Isolation, claim: Claim<'_>, (token, number): (Uuid, i64)) -> SqlStr {
        let (look, claiming, claimed) = (self.look(claim), claiming(token, number), self.claimed(token));
        let begin = begin(isolation);
        AssertSqlSafe(if isolation == Isolation::Serializable {
            let apart = self::begin(Isolation::ReadCommitted);
            format!("{apart}; {look}; COMMIT; {begin}; {claiming}; {claimed}; SAVEPOINT {SAVEPOINT}")
        } else {
            format!("{begin}; {claiming}; {look}; {claimed}; SAVEPOINT {SAVEPOINT}")
        })
        .into_sql_str()
    }

    fn look(&self, claim: Claim<'_>) -> String {
        let id = claim.id();
        format!(
            "SELECT COALESCE(NOT {dead}, false) AS is_live,
                   CASE WHEN held.{EXPIRES_AT} > NOW() THEN COALESCE(held.{ATTEMPT}, 1) END, pg_is_in_recovery()
            FROM (SELECT 1) AS one
            LEFT JOIN {table} AS held ON held.{PRINCIPAL_FINGERPRINT} = {principal} AND held.{KEY} = {key}",
            dead = dead("held", "NOW()", &bytes(&claim.request_hash)),
            table = self.table,
            principal = text(id.principal),
            key = text(id.key),
        )
    }

    fn claimed(&self, token: Uuid) -> String {
        format!("SELECT {} AS is_ours, pg_backend_pid(), {}", ours(&format!("'{token}'")), self.oid)
    }

    pub(super) fn read(rows: &[PgRow]) -> Result<FoundAtOnce, sqlx::Error> {
        // The claim's own statement has a row as well, which says nothing.
        let row =
            |name: &'static str| rows.iter().find(|row| row.try_get_raw(name).is_ok()).ok_or(sqlx::Error::RowNotFound);
        let (look, claimed) = (row("is_live")?, row("is_ours")?);
        Ok(FoundAtOnce {
            is_live: look.try_get(0)?,
            attempt_before: look.try_get(1)?,
            is_standby: look.try_get(2)?,
            is_ours: claimed.try_get(0)?,
            pid: claimed.try_get(1)?,
            table: claimed.try_get(2)?,
        })
    }
}

/// The expression for bytes.
fn bytes(bytes: &[u8]) -> String {
    format!("decode('{}', 'hex')", hex(bytes))
}

/// The expression for text, in the encoding of the database.
fn text(text: &str) -> String {
    format!("convert_from({}, 'UTF8')", bytes(text.as_bytes()))
}
