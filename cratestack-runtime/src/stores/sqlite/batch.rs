//! Group commit: while one write is on its way, the calls that arrive form the next one, which is a transaction.
//!
//! SQLite has one writer at a time, so all kinds of calls meet in one [`Line`]. Its lane is no right to write: that is the
//! store's turn, which a batch waits for like everybody else, so transactions of handlers and batches come one after the
//! other.
//!
//! Renewals, outcomes and releases go before claims: into the next batch, which then goes before handlers' transactions
//! and other claims. The next batch may be a quarter of a second away, while one of claims alone waits for its turn.
//!
//! Within a batch each call is the statement that it is alone, in the order in which calls of one rank for one key came. Nobody is
//! answered before all of it is committed:
//!
//! - Where a statement is refused, or the commit is, everything is undone and every caller goes alone. (To undo that
//!   statement only would not do: a full disk, or a trigger's `RAISE(ROLLBACK)`, ends the transaction, and what follows
//!   would commit statement by statement.)
//! - Where the database is somebody else's for longer than `busy_timeout`, everybody is told so: alone, each would wait
//!   for as long again, one after the other.
//! - A reservation whose caller has gone is given back.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sqlx::{SqlStr, Sqlite, SqliteConnection, SqlitePool};
use uuid::Uuid;

use super::pace::Pace;
use super::sql::{Names, Statements};
use super::turn::Turn;
use super::{TICK, lasting, refused, renewal, reserved};
use crate::stores::line::{Entry, Kind, Line};
use crate::stores::open::{Open, is_transient};
use crate::stores::renewal::Renewal;
use crate::{Claim, ClaimOutcome, Completion, StoreError};

/// Where the calls of one store meet.
#[derive(Debug)]
pub(super) struct Batches {
    line: Line<Writing>,
}

impl Batches {
    pub(super) fn new(pool: &SqlitePool, sql: &Arc<Statements>, turn: &Turn) -> Self {
        let database =
            Database { pool: pool.clone(), sql: Arc::clone(sql), turn: turn.clone(), pace: Arc::new(Pace::new()) };
        let returns = Line::new(Writing { database: database.clone(), returns: None });
        Self { line: Line::new(Writing { database, returns: Some(returns) }) }
    }

    /// `None` where somebody else has been quicker.
    pub(super) async fn claim(
        &self,
        claim: &Claim<'_>,
        alone: impl Future<Output = Result<Option<ClaimOutcome>, StoreError>>,
    ) -> Result<Option<ClaimOutcome>, StoreError> {
        let alone = async { alone.await.map(Answer::claimed) };
        let own = || {
            let what =
                What::Claim { request_hash: claim.request_hash, times: TICK.claim(claim.lease, claim.retention) };
            // A new one for each batch: of one that is undone, nothing is left that this could be mistaken for.
            Call::new((claim.principal, claim.key), Uuid::new_v4(), what)
        };
        let answer = self.line.call(claim.principal.len() + claim.key.len(), own, alone).await?;
        Ok(answer.take())
    }

    /// Whether the outcome was recorded by this call.
    pub(super) async fn finish(
        &self,
        completion: Completion<'_>,
        alone: impl Future<Output = Result<bool, StoreError>>,
    ) -> Result<bool, StoreError> {
        let Completion { principal, key, token, status, headers, body } = completion;
        let bytes = principal.len() + key.len() + headers.len() + body.len();
        let own = || {
            let what = What::Finish { status, headers: headers.into(), body: body.clone() };
            Call::new((principal, key), token, what)
        };
        self.write(bytes, own, alone).await
    }

    pub(super) async fn renew(
        &self,
        names: Names<'_>,
        token: Uuid,
        times: (i64, i64),
        alone: impl Future<Output = Result<Renewal, StoreError>>,
    ) -> Result<Renewal, StoreError> {
        let alone = async { alone.await.map(Answer::Renewed) };
        let own = || Call::new(names, token, What::Renew { times });
        match self.line.call_first(names.0.len() + names.1.len(), own, alone).await? {
            Answer::Renewed(renewal) => Ok(renewal),
            Answer::Claimed(_) | Answer::Written(_) | Answer::Renewing(..) => Ok(Renewal::Lost),
        }
    }

    /// Whether there was something to release.
    pub(super) async fn release(
        &self,
        names: Names<'_>,
        token: Uuid,
        alone: impl Future<Output = Result<bool, StoreError>>,
    ) -> Result<bool, StoreError> {
        self.write(names.0.len() + names.1.len(), || Call::new(names, token, What::Release), alone).await
    }

    async fn write(
        &self,
        bytes: usize,
        own: impl FnOnce() -> Call,
        alone: impl Future<Output = Result<bool, StoreError>>,
    ) -> Result<bool, StoreError> {
        let alone = async { alone.await.map(Answer::Written) };
        Ok(matches!(self.line.call_first(bytes, own, alone).await?, Answer::Written(true)))
    }
}

/// One call.
struct Call {
    principal: Box<str>,
    key: Box<str>,
    token: Uuid,
    what: What,
}

enum What {
    /// Times in ticks: lease and retention.
    Claim {
        request_hash: [u8; 32],
        times: (i64, i64),
    },
    Finish {
        status: u16,
        headers: Box<[u8]>,
        body: Bytes,
    },
    Renew {
        times: (i64, i64),
    },
    Release,
}

impl Call {
    fn new((principal, key): Names<'_>, token: Uuid, what: What) -> Self {
        Self { principal: principal.into(), key: key.into(), token, what }
    }

    fn names(&self) -> Names<'_> {
        (&self.principal, &self.key)
    }

    /// Gives back what this call has reserved.
    fn release(&self) -> Self {
        Self { principal: self.principal.clone(), key: self.key.clone(), token: self.token, what: What::Release }
    }

    fn is_claim(&self) -> bool {
        matches!(self.what, What::Claim { .. })
    }
}

/// An answer on its way to its caller.
enum Answer {
    /// `None` where somebody else has been quicker: its caller looks again.
    Claimed(Option<Box<Grant>>),
    Written(bool),
    /// For how long the lease lasts that a renewal sent then has written, where there was one to renew.
    Renewing(Option<i64>, Instant),
    Renewed(Renewal),
}

impl Answer {
    /// An answer that is its caller's as soon as it is there.
    fn claimed(outcome: Option<ClaimOutcome>) -> Self {
        Self::Claimed(outcome.map(|outcome| Box::new(Grant { outcome, way_back: None })))
    }

    fn take(self) -> Option<ClaimOutcome> {
        match self {
            Self::Claimed(grant) => grant.map(|grant| grant.take()),
            Self::Written(_) | Self::Renewing(..) | Self::Renewed(_) => None,
        }
    }
}

/// Where it is a reservation and nobody takes it, it is given back.
struct Grant {
    outcome: ClaimOutcome,
    way_back: Option<(Line<Writing>, Call)>,
}

impl Grant {
    fn take(mut self) -> ClaimOutcome {
        self.way_back = None;
        std::mem::replace(&mut self.outcome, ClaimOutcome::InFlight)
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some((line, release)) = self.way_back.take() {
            line.post(release);
        }
    }
}

#[derive(Debug)]
struct Writing {
    database: Database,
    /// Where reservations go that nobody took. What goes there is none.
    returns: Option<Line<Writing>>,
}

impl Kind for Writing {
    type Call = Call;
    type Answer = Answer;

    /// What a writer of another process waits for, beside the disk.
    const MOST: usize = 256;

    /// A second one would wait for the same turn, with a batch that is the shorter for it.
    const CROWDED_LANES: usize = 1;

    fn names(call: &Call) -> Names<'_> {
        call.names()
    }

    async fn run(&self, batch: Vec<Entry<Self>>) {
        match self.database.commit(&batch).await {
            Ok(answers) => {
                for (entry, mut answer) in batch.into_iter().zip(answers) {
                    match &mut answer {
                        Answer::Claimed(Some(grant)) => {
                            grant.way_back = self.returns.clone().map(|line| (line, entry.call.release()));
                        }
                        // The commit may have waited for longer than the lease lasts.
                        Answer::Renewing(lasts, sent) => answer = Answer::Renewed(renewal(*lasts, *sent)),
                        _ => {}
                    }
                    entry.answer(Ok(answer));
                }
            }
            Err(Failure::Divisible) => batch.into_iter().for_each(Entry::send_alone),
            Err(Failure::Whole(error)) => Self::tell(batch, &error),
            Err(Failure::Unknown(error)) => {
                self.give_back(&batch);
                Self::tell(batch, &error);
            }
        }
    }
}

impl Writing {
    /// Nobody was told of these tokens, so whatever was reserved with them may go, sooner than its lease lets it.
    fn give_back(&self, batch: &[Entry<Self>]) {
        let Some(returns) = &self.returns else { return };
        batch.iter().filter(|entry| entry.call.is_claim()).for_each(|entry| returns.post(entry.call.release()));
    }

    fn tell(batch: Vec<Entry<Self>>, error: &StoreError) {
        for entry in batch {
            entry.answer(Err(error.clone()));
        }
    }
}

/// What a batch is run on.
#[derive(Debug, Clone)]
struct Database {
    pool: SqlitePool,
    sql: Arc<Statements>,
    turn: Turn,
    pace: Arc<Pace>,
}

/// Why a batch has no answers.
enum Failure {
    /// Nothing has happened, and one call may be to blame.
    Divisible,
    /// Nothing has happened, and each call would wait in vain.
    Whole(StoreError),
    /// What has happened is not known.
    Unknown(StoreError),
}

impl Database {
    /// What the calls have come to, once it is committed.
    async fn commit(&self, batch: &[Entry<Writing>]) -> Result<Vec<Answer>, Failure> {
        if let Some(pause) = self.pace.pause(Instant::now()) {
            tokio::time::sleep(pause).await;
        }
        let goes_first = batch.iter().any(Entry::goes_first);
        let turn = if goes_first { self.turn.take_first().await } else { self.turn.take().await };
        let connection = self.pool.acquire().await.map_err(|error| Failure::Whole(refused(&self.sql.name)(error)))?;
        // Not IMMEDIATE, which is a right to write to every attached database, whoever else writes there. The first
        // statement writes and nothing has been read before it, so it waits for its own database as it does alone.
        let begin = SqlStr::from_static("BEGIN");
        let open = Open::begin(connection, begin, Some(turn)).await.map_err(|error| self.undone(error))?;
        let mut from = None;
        let committed = self.commit_in(open, batch, &mut from).await;
        if let Some(from) = from {
            self.pace.held(from, Instant::now());
        }
        committed
    }

    /// Tells since when the database has been held.
    async fn commit_in(
        &self,
        mut open: Open<Sqlite>,
        batch: &[Entry<Writing>],
        from: &mut Option<Instant>,
    ) -> Result<Vec<Answer>, Failure> {
        let mut answers = Vec::with_capacity(batch.len());
        for entry in batch {
            // It went while the batch waited for its turn: what it would have is not to be given back first.
            if entry.call.is_claim() && entry.is_forsaken() {
                answers.push(Answer::Claimed(None));
                continue;
            }
            match self.execute(open.connection_mut(), &entry.call).await {
                Ok(answer) => {
                    from.get_or_insert_with(Instant::now);
                    answers.push(answer);
                }
                Err(error) => {
                    if let Err(gone) = open.rollback().await {
                        open.close_on_drop();
                        // Else SQLite has ended the transaction, of which sqlx does not know.
                        if matches!(gone, sqlx::Error::WorkerCrashed) {
                            return Err(Failure::Unknown(refused(&self.sql.name)(gone)));
                        }
                    }
                    return Err(self.undone(error));
                }
            }
        }
        match open.commit().await {
            Ok(()) => Ok(answers),
            Err(error @ sqlx::Error::Database(_)) => Err(self.undone(error)),
            Err(error) => Err(Failure::Unknown(refused(&self.sql.name)(error))),
        }
    }

    /// The call's own statement.
    async fn execute(&self, connection: &mut SqliteConnection, call: &Call) -> Result<Answer, sqlx::Error> {
        let statement = match &call.what {
            What::Claim { request_hash, times } => {
                let claim = self.sql.claim(call.names(), request_hash, call.token, *times);
                let claimed = claim.fetch_all(connection).await?;
                return Ok(Answer::claimed(reserved(&claimed, call.token)?));
            }
            What::Finish { status, headers, body } => self.sql.finish(call.names(), call.token, *status, headers, body),
            What::Renew { times } => {
                let sent = Instant::now();
                let renewed = self.sql.renew(call.names(), call.token, *times).fetch_all(connection).await?;
                return Ok(Answer::Renewing(lasting(&renewed)?, sent));
            }
            What::Release => {
                let released = self.sql.release(call.names(), call.token).execute(&mut *connection).await?;
                if released.rows_affected() > 0 {
                    return Ok(Answer::Written(true));
                }
                self.sql.lapse(call.names(), call.token)
            }
        };
        Ok(Answer::Written(statement.execute(connection).await?.rows_affected() > 0))
    }

    /// Of an error after which nothing of the batch is there.
    fn undone(&self, error: sqlx::Error) -> Failure {
        if error.as_database_error().is_some_and(is_transient) {
            return Failure::Whole(refused(&self.sql.name)(error));
        }
        Failure::Divisible
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
