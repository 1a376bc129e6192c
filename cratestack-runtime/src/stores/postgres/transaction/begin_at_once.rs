//! Beginning a transaction, claiming its key and looking at its row, in one message.
//!
//! A message of several statements has no parameters, so what is looked for stands in its text. Everything but letters
//! and digits is escaped there, in literals that no setting of the session reads otherwise. They are constants: what
//! comes out of a function such as `convert_from` is compared with row after row, and by no index. What is not ASCII is
//! looked for so only where the database is in UTF-8, as others may not take the escapes.
//!
//! What comes back are numbers and booleans, whose spelling depends on no setting either. An outcome that is found is
//! fetched by a statement of its own.
//!
//! A server that logs an error logs the statement's text with it. So a principal and a key can stand in its log; an
//! outcome never does, because it is recorded by a statement that has parameters.

use std::fmt::Write as _;

use cratestack_schema::columns::{ATTEMPT, EXPIRES_AT, KEY, PRINCIPAL_FINGERPRINT};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr};
use uuid::Uuid;

use super::text::{begin, claiming, ours};
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
        let (begin, claiming, claimed) = (begin(isolation), claiming(token, number), self.claimed(token));
        AssertSqlSafe(if isolation == Isolation::Serializable {
            let (apart, look) = (self::begin(Isolation::ReadCommitted), self.look(claim, ""));
            format!("{apart}; {look}; COMMIT; {begin}; {claiming}; SELECT {claimed}; SAVEPOINT {SAVEPOINT}")
        } else {
            let look = self.look(claim, &format!(", {claimed}"));
            format!("{begin}; {claiming}; {look}; SAVEPOINT {SAVEPOINT}")
        })
        .into_sql_str()
    }

    fn look(&self, claim: Claim<'_>, and: &str) -> String {
        let id = claim.id();
        format!(
            "SELECT COALESCE(NOT {dead}, false) AS is_live,
                   CASE WHEN held.{EXPIRES_AT} > NOW() THEN COALESCE(held.{ATTEMPT}, 1) END AS attempt_before{and}
            FROM (SELECT 1) AS one
            LEFT JOIN {table} AS held ON held.{PRINCIPAL_FINGERPRINT} = {principal} AND held.{KEY} = {key}",
            dead = dead("held", "NOW()", &format!("decode('{}', 'hex')", hex(&claim.request_hash))),
            table = self.table,
            principal = literal(id.principal),
            key = literal(id.key),
        )
    }

    fn claimed(&self, token: Uuid) -> String {
        format!(
            "pg_is_in_recovery() AS is_standby, {is_ours} AS is_ours, pg_backend_pid() AS pid, {oid} AS found_table",
            is_ours = ours(&format!("'{token}'")),
            oid = self.oid,
        )
    }

    pub(super) fn read(rows: &[PgRow]) -> Result<FoundAtOnce, sqlx::Error> {
        // The claim's own statement has a row as well, which says nothing.
        let row =
            |name: &'static str| rows.iter().find(|row| row.try_get_raw(name).is_ok()).ok_or(sqlx::Error::RowNotFound);
        let (look, claimed) = (row("is_live")?, row("is_ours")?);
        Ok(FoundAtOnce {
            is_live: look.try_get("is_live")?,
            attempt_before: look.try_get("attempt_before")?,
            is_standby: claimed.try_get("is_standby")?,
            is_ours: claimed.try_get("is_ours")?,
            pid: claimed.try_get("pid")?,
            table: claimed.try_get("found_table")?,
        })
    }
}

/// The literal of a text.
fn literal(text: &str) -> String {
    let mut literal = String::from("E'");
    for character in text.chars() {
        // A `String` takes whatever is written.
        let _ = match u32::from(character) {
            _ if character.is_ascii_alphanumeric() => write!(literal, "{character}"),
            code @ 0..=0xffff => write!(literal, "\\u{code:04x}"),
            code => write!(literal, "\\U{code:08x}"),
        };
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_letters_and_digits_stands_in_a_literal_as_it_is() {
        assert_eq!(literal("aZ09"), "E'aZ09'");
        assert_eq!(literal("'\\ \u{7f}ü→𝄞"), r"E'\u0027\u005c\u0020\u007f\u00fc\u2192\U0001d11e'");
    }
}
