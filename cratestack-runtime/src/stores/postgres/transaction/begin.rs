//! Beginning a transaction that claims a key.

use cratestack_schema::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, PRINCIPAL_FINGERPRINT, REQUEST_HASH, RESPONSE_BODY, RESPONSE_HEADERS,
    RESPONSE_STATUS,
};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _, SqlSafeStr as _, SqlStr};
use uuid::Uuid;

use super::begin_at_once::BeginAtOnce;
use super::connections::{TransactionConnection, has_died};
use super::rollback::rollback;
use super::text::{CLAIM, TABLE, begin, claiming, oid, ours};
use crate::store::{Begun, Claim, ClaimOutcome, Isolation, StoreError};
use crate::stores::postgres::database::{Database, refuse_nul};
use crate::stores::postgres::lock::lock_of;
use crate::stores::sql::{OpenTransaction, SAVEPOINT, SessionId, about, attempt, dead, held, shared};

/// Always one row: the key's where there is one, whether this transaction has got the key's lock, its session, the
/// table that was found by the name, whether the row is dead, and whether this server only follows another one.
///
/// What is dead is judged, here and by `record`, as of the transaction's beginning: whoever reserved the key since then
/// is not, however short its lease, as its effect may have happened.
///
/// A body that has expired stays with the server, as does an attempt that no longer counts.
fn look(table: &str, oid: &str) -> String {
    format!(
        "SELECT CASE WHEN held.{EXPIRES_AT} > NOW() THEN COALESCE(held.{ATTEMPT}, 1) END,
               held.{REQUEST_HASH}, held.{RESPONSE_STATUS}, held.{RESPONSE_HEADERS},
               CASE WHEN held.{EXPIRES_AT} > NOW() THEN held.{RESPONSE_BODY} END,
               held.{CREATED_AT}::timestamptz, held.{EXPIRES_AT}::timestamptz,
               {is_ours}, pg_backend_pid(), {oid}, {dead}, pg_is_in_recovery()
        FROM (SELECT 1) AS one
        LEFT JOIN {table} AS held ON held.{PRINCIPAL_FINGERPRINT} = $1 AND held.{KEY} = $2",
        dead = dead("held", "NOW()", "$4::bytea"),
        is_ours = ours("$3"),
    )
}

/// What `look` says besides the row.
fn is_claimed(oid: &str) -> String {
    format!("SELECT {}, pg_backend_pid(), {oid}, pg_is_in_recovery()", ours("$1"))
}

#[derive(Debug)]
pub(in crate::stores::postgres) struct Begin {
    database: Database,
    look: SqlStr,
    is_claimed: SqlStr,
    at_once: BeginAtOnce,
}

enum Looked {
    Free { attempt: u32 },
    Held(ClaimOutcome),
}

impl Begin {
    pub(in crate::stores::postgres) fn new(database: Database) -> Self {
        let (table, oid) = (&database.table.sql(), &oid(&database.table));
        Self {
            look: shared(look(table, oid)),
            is_claimed: shared(is_claimed(oid)),
            at_once: BeginAtOnce::new(table, oid),
            database,
        }
    }

    pub(in crate::stores::postgres) async fn run(
        &self,
        claim: Option<Claim<'_>>,
        isolation: Isolation,
    ) -> Result<Begun<OpenTransaction<Postgres>>, StoreError> {
        let Some(claim) = claim else {
            let transaction = self.begin_unclaimed(isolation).await?;
            return Ok(Begun::Reserved { transaction, token: Uuid::nil(), attempt: 0 });
        };
        refuse_nul(claim.id())?;
        let token = Uuid::new_v4();
        // No table's name has a NUL, so this lock is none that a waiter takes.
        let lock = lock_of(&format!("{}\0transaction", self.database.table.table()), claim.id());
        let connections = &self.database.transactions;
        let mut connection = connections.acquire().await.map_err(self.database.error())?;
        if connection.is_within_to_sqlx() && !connections.can_spell(claim.id()) {
            drop(connection);
            connection = connections.acquire_of_pool().await.map_err(self.database.error())?;
        }
        if connection.is_within_to_sqlx() {
            if let Some(begun) = self.begin_at_once(connection, isolation, claim, (token, lock)).await? {
                return Ok(begun);
            }
            connection = connections.acquire_of_pool().await.map_err(self.database.error())?;
        }
        let begin = format!("{}; {}; SAVEPOINT {SAVEPOINT}", begin(isolation), claiming(token, lock));
        let begin = AssertSqlSafe(begin).into_sql_str();
        if isolation == Isolation::Serializable {
            return self.begin_serializable(connection, begin, claim, (token, lock)).await;
        }
        let mut open = connection.begin(begin).await.map_err(self.database.error())?;
        open.session = SessionId::OfKey { pid: 0, lock };
        let row = self.look(open.connection_mut(), claim, token).await;
        let looked = row.and_then(|row| {
            open.session = SessionId::OfKey { pid: row.try_get(8).map_err(self.database.error())?, lock };
            self.judge(&row, &mut open, claim)
        });
        self.begun(open, token, looked).await
    }

    /// Without a look at any row, one message is enough: what later statements ask for, the transaction's settings tell
    /// them. A table that is missing is none of its concern.
    async fn begin_unclaimed(&self, isolation: Isolation) -> Result<OpenTransaction<Postgres>, StoreError> {
        let mark = Uuid::new_v4();
        // Nobody else asks for this lock. Half of the mark is as good as another number.
        let lock = mark.as_u64_pair().0.cast_signed();
        // Neither an integer nor a UUID can leave its place in the text.
        let begin = format!(
            "{begin}; SELECT set_config('{CLAIM}', '{mark}', true), \
             set_config('{TABLE}', to_regclass({table})::oid::text, true), pg_try_advisory_xact_lock({lock}); \
             SAVEPOINT {SAVEPOINT}",
            begin = begin(isolation),
            table = self.database.table.regclass(),
        );
        let begin = AssertSqlSafe(begin).into_sql_str();
        let mut open = self.database.transactions.begin(begin).await.map_err(self.database.error())?;
        open.session = SessionId::OfLock { lock, mark };
        Ok(open)
    }

    /// On a connection whose transaction can be begun by one text; nothing where it turns out to have died.
    async fn begin_at_once(
        &self,
        connection: TransactionConnection,
        isolation: Isolation,
        claim: Claim<'_>,
        (token, lock): (Uuid, i64),
    ) -> Result<Option<Begun<OpenTransaction<Postgres>>>, StoreError> {
        let begin = self.at_once.text(isolation, claim, (token, lock));
        let (mut open, rows) = match connection.resume(begin).await {
            Ok(resumed) => resumed,
            Err(error) if has_died(&error) => return Ok(None),
            Err(error) => return Err(self.database.error()(error)),
        };
        open.session = SessionId::OfKey { pid: 0, lock };
        let found = BeginAtOnce::read(&rows).map_err(self.database.error());
        let looked = match found {
            Err(error) => Err(error),
            Ok(found) => {
                (open.session, open.table) = (SessionId::OfKey { pid: found.pid, lock }, found.table);
                if found.is_standby {
                    Err(standby())
                } else if found.is_live {
                    // What there is to tell of it is asked for apart, and comes in binary.
                    let row = self.look(open.connection_mut(), claim, token).await;
                    row.and_then(|row| self.judge(&row, &mut open, claim))
                } else if found.is_ours {
                    Ok(Looked::Free { attempt: after(found.attempt_before) })
                } else {
                    Ok(Looked::Held(ClaimOutcome::InFlight))
                }
            }
        };
        self.begun(open, token, looked).await.map(Some)
    }

    /// Serializable transactions that look into the table are in each other's way where their rows share a page of it,
    /// though their keys have nothing to do with each other. So the look comes first, in no transaction.
    ///
    /// An outcome that is recorded between the look and the claim is not seen. The handler then runs, and the record
    /// finds that outcome's row, so that nothing of it stays.
    async fn begin_serializable(
        &self,
        mut connection: TransactionConnection,
        begin: SqlStr,
        claim: Claim<'_>,
        (token, lock): (Uuid, i64),
    ) -> Result<Begun<OpenTransaction<Postgres>>, StoreError> {
        let row = self.look(&mut connection.connection, claim, token).await?;
        if let Some(outcome) = self.live(&row, claim)? {
            return Ok(held(outcome));
        }
        let attempt = self.attempt(&row)?;
        let mut open = connection.begin(begin).await.map_err(self.database.error())?;
        open.session = SessionId::OfKey { pid: 0, lock };
        let claimed = sqlx::query(self.is_claimed.clone()).bind(token).fetch_one(open.connection_mut()).await;
        let looked = claimed.map_err(self.database.error()).and_then(|row| {
            open.session = SessionId::OfKey { pid: row.try_get(1).map_err(self.database.error())?, lock };
            open.table = row.try_get(2).map_err(self.database.error())?;
            self.is_primary(&row, 3)?;
            let locked = row.try_get(0).map_err(self.database.error())?;
            Ok(if locked { Looked::Free { attempt } } else { Looked::Held(ClaimOutcome::InFlight) })
        });
        self.begun(open, token, looked).await
    }

    async fn look(&self, connection: &mut PgConnection, claim: Claim<'_>, token: Uuid) -> Result<PgRow, StoreError> {
        let look = about(&self.look, claim.id()).bind(token).bind(claim.request_hash.as_slice());
        let row = look.fetch_one(connection).await.map_err(self.database.error())?;
        self.is_primary(&row, 11)?;
        Ok(row)
    }

    /// A standby lags behind: that it has no row, or has one, says nothing of what the primary has committed.
    fn is_primary(&self, row: &PgRow, column: usize) -> Result<(), StoreError> {
        if row.try_get(column).map_err(self.database.error())? {
            return Err(standby());
        }
        Ok(())
    }

    /// What the statement `look` has found. The row decides; without a live one, the lock does.
    fn judge(&self, row: &PgRow, open: &mut OpenTransaction<Postgres>, claim: Claim<'_>) -> Result<Looked, StoreError> {
        let locked: bool = row.try_get(7).map_err(self.database.error())?;
        open.table = row.try_get(9).map_err(self.database.error())?;
        if let Some(outcome) = self.live(row, claim)? {
            return Ok(Looked::Held(outcome));
        }
        Ok(if locked { Looked::Free { attempt: self.attempt(row)? } } else { Looked::Held(ClaimOutcome::InFlight) })
    }

    fn live(&self, row: &PgRow, claim: Claim<'_>) -> Result<Option<ClaimOutcome>, StoreError> {
        let is_dead: Option<bool> = row.try_get(10).map_err(self.database.error())?;
        if is_dead.unwrap_or(true) {
            return Ok(None);
        }
        self.database.classify(row, claim.id(), claim.request_hash).map(Some)
    }

    /// Which attempt comes after the ones of a dead row.
    fn attempt(&self, row: &PgRow) -> Result<u32, StoreError> {
        let of_before: Option<i32> = row.try_get(0).map_err(self.database.error())?;
        Ok(after(of_before))
    }

    async fn begun(
        &self,
        open: OpenTransaction<Postgres>,
        token: Uuid,
        looked: Result<Looked, StoreError>,
    ) -> Result<Begun<OpenTransaction<Postgres>>, StoreError> {
        match looked {
            Ok(Looked::Free { attempt }) => Ok(Begun::Reserved { transaction: open, token, attempt }),
            Ok(Looked::Held(outcome)) => {
                // Whoever asks next is told by the row, though this one may have the lock, so nobody waits for its end.
                let pool = self.database.pool.clone();
                tokio::spawn(async move { rollback(&pool, open).await });
                Ok(held(outcome))
            }
            Err(error) => {
                rollback(&self.database.pool, open).await;
                Err(error)
            }
        }
    }
}

fn after(attempt_before: Option<i32>) -> u32 {
    attempt_before.map_or(1, |count| attempt(Some(i64::from(count))).saturating_add(1))
}

fn standby() -> StoreError {
    StoreError::Unavailable(
        "the server is a standby in recovery, which does not know what has been committed: give the store a pool that \
         connects to the primary"
            .to_owned(),
    )
}
