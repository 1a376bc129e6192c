use super::select::is_of_token;
use super::{Builder, RecordState, Statement, millis, state};
use crate::dialect::Dialect;
use crate::name::TableName;
use crate::table::columns::{
    CREATED_AT, EXPIRES_AT, KEY, PRINCIPAL_FINGERPRINT, REQUEST_HASH, RESERVATION_ID, RESPONSE_BODY, RESPONSE_HEADERS,
    RESPONSE_STATUS,
};
use crate::upkeep::{FORGOTTEN_KEY, FORGOTTEN_PRINCIPAL, is_record};

/// What may be removed of what was selected.
///
/// ```
/// use cratestack_schema::Removal;
///
/// // To give a reservation back whose process is gone: nothing that holds an outcome, nothing that runs.
/// let release = Removal { unfinished_only: true, ..Removal::default() };
/// assert!(!release.even_if_running);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// Reservations alone, and none that has expired; else outcomes and what has expired, too.
    pub unfinished_only: bool,
    /// Also a reservation whose lease lasts. Its run goes on, and may have its effect.
    pub even_if_running: bool,
    /// Only while the row still bears this token, as [`TableName::records`] shows it: not what was reserved since.
    pub token: Option<String>,
}

impl Removal {
    /// The states that this may remove.
    ///
    /// ```
    /// use cratestack_schema::{RecordState, Removal};
    ///
    /// assert!(!Removal::default().states().contains(&RecordState::InFlight));
    /// ```
    pub fn states(&self) -> Vec<RecordState> {
        let may = |state: &RecordState| match state {
            RecordState::InFlight => self.even_if_running,
            RecordState::PastLease => true,
            RecordState::Finished | RecordState::Expired => !self.unfinished_only,
        };
        RecordState::ALL.into_iter().filter(may).collect()
    }

    fn condition(&self, dialect: Dialect) -> String {
        let names: Vec<_> = self.states().iter().map(|state| format!("'{state}'")).collect();
        format!("{} AND {} IN ({})", is_record(), state(dialect), names.join(", "))
    }
}

impl TableName {
    /// The statement that removes one record, if that may be. It looks at the row and deletes it in one step, so it
    /// never removes what another reservation has taken over meanwhile against its will.
    ///
    /// There is a row where one was removed, with the state that it was in, and when it would have expired, in
    /// milliseconds after the Unix epoch.
    ///
    /// On Postgres the statement also has all processes drop what they keep in memory, where an outcome was removed. On
    /// SQLite [`mark_forgotten`](Self::mark_forgotten) does, in the same transaction.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Removal, TableName};
    ///
    /// let removal = TableName::default().remove(Dialect::Sqlite, "alice", "8e03", &Removal::default());
    /// assert!(removal.text.starts_with("DELETE FROM cratestack_idempotency"));
    /// ```
    pub fn remove(&self, dialect: Dialect, principal: &str, key: &str, removal: &Removal) -> Statement {
        let mut builder = Builder::new(dialect);
        let (principal, key) = (builder.text(principal), builder.text(key));
        let mut conditions = vec![
            format!("held.{PRINCIPAL_FINGERPRINT} = {principal} AND held.{KEY} = {key}"),
            removal.condition(dialect),
        ];
        if let Some(token) = &removal.token {
            let token = builder.text(token);
            conditions.push(is_of_token(dialect, &token));
        }
        let condition = conditions.join(" AND ");
        let text = self.removing(dialect, "", &condition);
        builder.statement(text)
    }

    /// The statement that removes records of one principal, as the table has it, at most so many of them: a row for
    /// each, as [`remove`](Self::remove) has it.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Removal, TableName};
    ///
    /// let removal = TableName::default().remove_all_of(Dialect::Postgres, "alice", &Removal::default(), 1_000);
    /// assert!(removal.text.contains("LIMIT $2"));
    /// ```
    pub fn remove_all_of(&self, dialect: Dialect, principal: &str, removal: &Removal, limit: u32) -> Statement {
        let mut builder = Builder::new(dialect);
        let (principal, limit) = (builder.text(principal), builder.integer(i64::from(limit)));
        let condition = format!("held.{PRINCIPAL_FINGERPRINT} = {principal} AND {}", removal.condition(dialect));
        let pick = format!(
            "SELECT held.{KEY} FROM {table} AS held WHERE {condition} ORDER BY held.{KEY} LIMIT {limit}",
            table = self.sql()
        );
        let text = match dialect {
            // They are locked as they are picked: one that somebody else deletes or takes meanwhile is then none of so
            // many, and fewer mean that there are no more. The condition stands outside too, as it is there that the
            // latest version of a row is held against it.
            Dialect::Postgres => self.removing(
                dialect,
                &format!("picked AS MATERIALIZED ({pick} FOR UPDATE), "),
                &format!("{condition} AND held.{KEY} IN (SELECT {KEY} FROM picked)"),
            ),
            Dialect::Sqlite => self.removing(dialect, "", &format!("{condition} AND held.{KEY} IN ({pick})")),
        };
        builder.statement(text)
    }

    /// `before` is what the condition reads, as parts of a `WITH`; Postgres only.
    fn removing(&self, dialect: Dialect, before: &str, condition: &str) -> String {
        let (table, state) = (self.sql(), state(dialect));
        let expires_at = |row: &str| millis(dialect, &format!("{row}{EXPIRES_AT}"));
        match dialect {
            Dialect::Sqlite => {
                // What a `DELETE` of SQLite returns does not know the table by its alias.
                let state = state.replace("held.", "");
                format!("DELETE FROM {table} AS held WHERE {condition} RETURNING {state}, {}", expires_at(""))
            }
            Dialect::Postgres => format!(
                "WITH {before}removed AS (
                    DELETE FROM {table} AS held WHERE {condition}
                    RETURNING {state} AS state, held.{RESPONSE_STATUS}, held.{EXPIRES_AT}
                ), marked AS (
                    {mark}
                    SELECT '{FORGOTTEN_PRINCIPAL}', '{FORGOTTEN_KEY}', decode(repeat('00', 32), 'hex'),
                        left(encode(sha256(convert_to(random()::text || clock_timestamp(), 'UTF8')), 'hex'), 32)::uuid,
                        204, ''::bytea, ''::bytea, clock_timestamp(), max({EXPIRES_AT})
                    FROM removed WHERE {RESPONSE_STATUS} IS NOT NULL HAVING count(*) > 0
                    {on_conflict}
                )
                SELECT state, {expires_at} FROM removed",
                mark = insert_mark(&table),
                on_conflict = on_conflict("GREATEST"),
                expires_at = expires_at(""),
            ),
        }
    }

    /// The statement that has all processes drop the outcomes that they keep in memory, at their next look at the
    /// database, about a second later. Its one parameter is when the last of the records expires that were removed, in
    /// milliseconds after the Unix epoch. SQLite only; on Postgres [`remove`](Self::remove) does it.
    ///
    /// ```
    /// assert!(cratestack_schema::TableName::default().mark_forgotten().contains("randomblob(16)"));
    /// ```
    pub fn mark_forgotten(&self) -> String {
        format!(
            "{mark}
            VALUES ('{FORGOTTEN_PRINCIPAL}', '{FORGOTTEN_KEY}', zeroblob(32), randomblob(16), 204, zeroblob(0),
                zeroblob(0), {now}, ?1)
            {on_conflict}",
            mark = insert_mark(&self.sql()),
            now = Dialect::Sqlite.now(),
            on_conflict = on_conflict("MAX"),
        )
    }

    /// The statement that reads what changes when records are removed whose outcomes processes keep: a token, or no row
    /// where none was of late.
    ///
    /// ```
    /// assert!(cratestack_schema::TableName::default().forgotten_mark().starts_with("SELECT reservation_id FROM"));
    /// ```
    pub fn forgotten_mark(&self) -> String {
        format!(
            "SELECT {RESERVATION_ID} FROM {} WHERE {PRINCIPAL_FINGERPRINT} = '{FORGOTTEN_PRINCIPAL}' AND {KEY} = \
             '{FORGOTTEN_KEY}'",
            self.sql()
        )
    }
}

fn insert_mark(table: &str) -> String {
    format!(
        "INSERT INTO {table} AS mark ({PRINCIPAL_FINGERPRINT}, {KEY}, {REQUEST_HASH}, {RESERVATION_ID},
            {RESPONSE_STATUS}, {RESPONSE_HEADERS}, {RESPONSE_BODY}, {CREATED_AT}, {EXPIRES_AT})"
    )
}

/// The mark outlasts every record that was removed, so that no process that slept meanwhile finds all as it was.
fn on_conflict(later: &str) -> String {
    format!(
        "ON CONFLICT ({PRINCIPAL_FINGERPRINT}, {KEY}) DO UPDATE SET {RESERVATION_ID} = EXCLUDED.{RESERVATION_ID},
            {CREATED_AT} = EXCLUDED.{CREATED_AT},
            {EXPIRES_AT} = {later}(mark.{EXPIRES_AT}, EXCLUDED.{EXPIRES_AT})"
    )
}
