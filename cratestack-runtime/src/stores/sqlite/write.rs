//! Group commit: while one write is on its way, the calls that arrive form the next one, which is a transaction.
//!
//! SQLite has one writer at a time, so the calls of all operations meet in one queue. Its slot is no right to write:
//! that is the store's turn, which a batch waits for like everybody else, so transactions of handlers and batches come
//! one after the other.
//!
//! ```text
//! slot │ A's own write ──┬─ B, C and D: one transaction ──────────────────────────────────────┬─ free
//! turn │ A ──────────────┴ a handler's transaction ─┬ pause? ── BEGIN, B, C, D, COMMIT ───────┘
//! told │                 A                                                            B, C, D, once it is committed
//! ```
//!
//! Renewals, outcomes and releases go before claims: into the next batch, which then goes before handlers' transactions
//! and other claims. The next batch may be a quarter of a second away, while one of claims alone waits for its turn.
//!
//! What a caller is told is what its call alone would have told it. Within a batch each call is the statement that it
//! is alone, in the order in which calls of one rank for one key came, and nobody is answered before all of it is
//! committed:
//!
//! - Where a statement is refused, or the commit is, everything is undone and every caller goes alone. (To undo that
//!   statement only would not do: a full disk, or a trigger's `RAISE(ROLLBACK)`, ends the transaction, and what follows
//!   would commit statement by statement.)
//! - Where the database is somebody else's for longer than `busy_timeout`, everybody is told so: alone, each would wait
//!   for as long again, one after the other.
//! - A reservation whose caller has gone is given back.

use std::sync::Arc;
use std::time::Instant;

use sqlx::{SqlStr, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::database::Database;
use super::finish::Finish;
use super::release::Release;
use super::renew::{Renew, Renewed};
use super::reserve::{Reserve, ReserveArgs};
use super::step::Step;
use super::throttle::Throttle;
use crate::store::{Completion, RecordId, RecordIdRef, StoreError};
use crate::stores::batch::{BatchQueue, Call, Grant, Operation, Pending, ReleaseIn};
use crate::stores::sql::{BatchError, Cause, OpenTransaction, OwnedCompletion, OwnedStep, StepArgs};
use crate::stores::time::Times;

/// What is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Write<C, S> {
    Reserve(ReserveArgs),
    Finish(C),
    Step(S),
    Renew { token: Uuid, times: Times },
    Release { token: Uuid },
}

/// What is written, lent by whoever waits for it.
pub(super) type LentWrite<'c, 's> = Write<Completion<'c>, StepArgs<'s>>;
/// The same, in a queue.
pub(super) type OwnedWrite = Write<OwnedCompletion, OwnedStep>;

impl<C, S> Write<C, S> {
    fn map<'a, D, T>(&'a self, of_finish: impl FnOnce(&'a C) -> D, of_step: impl FnOnce(&'a S) -> T) -> Write<D, T> {
        match self {
            Self::Reserve(args) => Write::Reserve(*args),
            Self::Finish(completion) => Write::Finish(of_finish(completion)),
            Self::Step(step) => Write::Step(of_step(step)),
            Self::Renew { token, times } => Write::Renew { token: *token, times: *times },
            Self::Release { token } => Write::Release { token: *token },
        }
    }

    /// Gives back what this call has reserved, where it is a reservation.
    fn release(&self) -> Option<Self> {
        if let Self::Reserve(args) = self { Some(Self::Release { token: args.token }) } else { None }
    }
}

impl OwnedWrite {
    /// The same, lent.
    fn of<'a>(&'a self, id: &'a RecordId) -> LentWrite<'a, 'a> {
        let (principal, key) = (id.principal(), id.key());
        self.map(
            |OwnedCompletion { token, status, headers, body }| Completion {
                principal,
                key,
                token: *token,
                status: *status,
                headers,
                body,
            },
            |OwnedStep { token, entry }| StepArgs { token: *token, entry },
        )
    }
}

/// An answer on its way to its caller, for when it is committed.
pub(super) enum WriteAnswer {
    /// `None` where somebody else has been quicker: its caller looks again.
    Reserved(Option<Box<Grant<ReleaseIn<Writer>>>>),
    /// Whether the outcome was recorded.
    Finished(bool),
    /// Whether the step was.
    Stepped(bool),
    Renewed(Renewed),
    Released,
}

/// The statements of all that writes.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) reserve: Reserve,
    pub(super) finish: Finish,
    renew: Renew,
    release: Release,
    pub(super) step: Step,
}

impl Statements {
    pub(super) fn new(table: &str) -> Self {
        Self {
            reserve: Reserve::new(table),
            finish: Finish::new(table),
            renew: Renew::new(table),
            release: Release::new(table),
            step: Step::new(table),
        }
    }

    async fn execute(
        &self,
        connection: &mut SqliteConnection,
        id: RecordIdRef<'_>,
        write: LentWrite<'_, '_>,
    ) -> Result<WriteAnswer, sqlx::Error> {
        Ok(match write {
            Write::Reserve(args) => {
                let claimed = self.reserve.claim(connection, id, args).await?;
                WriteAnswer::Reserved(claimed.map(|outcome| Box::new(Grant::taken(outcome))))
            }
            Write::Finish(completion) => WriteAnswer::Finished(self.finish.finish(connection, completion).await?),
            Write::Step(step) => WriteAnswer::Stepped(self.step.record(connection, id, step).await?),
            Write::Renew { token, times } => {
                WriteAnswer::Renewed(self.renew.renew(connection, id, token, times).await?)
            }
            Write::Release { token } => {
                self.release.release(connection, &self.finish, id, token).await?;
                WriteAnswer::Released
            }
        })
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    database: Database,
    pub(super) statements: Arc<Statements>,
    throttle: Arc<Throttle>,
    /// Where reservations go that nobody takes. `None` in that queue itself.
    releases: Option<BatchQueue<Writer>>,
}

impl Writer {
    /// The queue of all that writes.
    pub(super) fn queue(database: &Database, is_batching: bool) -> BatchQueue<Self> {
        let statements = Arc::new(Statements::new(&database.table.sql()));
        let throttle = Arc::new(Throttle::new());
        let writer = |releases| Self {
            database: database.clone(),
            statements: Arc::clone(&statements),
            throttle: Arc::clone(&throttle),
            releases,
        };
        let releases = BatchQueue::new(writer(None), is_batching);
        BatchQueue::new(writer(Some(releases)), is_batching)
    }
}

impl From<LentWrite<'_, '_>> for OwnedWrite {
    fn from(write: LentWrite<'_, '_>) -> Self {
        write.map(|completion| OwnedCompletion::from(*completion), |step| OwnedStep::from(*step))
    }
}

impl Call<Writer> for LentWrite<'_, '_> {
    fn bytes(self) -> usize {
        match self {
            Write::Finish(completion) => completion.headers.len() + completion.body.len(),
            Write::Step(step) => step.entry.len(),
            Write::Reserve(_) | Write::Renew { .. } | Write::Release { .. } => 0,
        }
    }

    fn is_urgent(self) -> bool {
        !matches!(self, Write::Reserve(_))
    }

    async fn run_one(
        self,
        id: RecordIdRef<'_>,
        Writer { database, statements, .. }: &Writer,
    ) -> Result<WriteAnswer, StoreError> {
        let _turn = database.turn.take_as(self.is_urgent()).await;
        let mut connection = database.acquire().await?;
        statements.execute(&mut connection, id, self).await.map_err(database.error())
    }
}

impl Operation for Writer {
    type Args = OwnedWrite;
    type Answer = WriteAnswer;

    /// What a writer of another process waits for, beside the disk.
    const MAX_BATCH: usize = 256;

    /// A second one would wait for the same turn, with a batch that is the shorter for it.
    const SLOTS_WHEN_CROWDED: usize = 1;

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        match self.commit(&batch).await {
            Ok(answers) => {
                for (call, mut answer) in batch.into_iter().zip(answers) {
                    if let (WriteAnswer::Reserved(Some(grant)), Some(releases), Some(release)) =
                        (&mut answer, &self.releases, call.args.release())
                    {
                        grant.give_back_by(ReleaseIn { queue: releases.clone(), id: call.id.clone(), args: release });
                    }
                    call.answer(Ok(answer));
                }
            }
            Err(error) => {
                if matches!(error, BatchError::Unknown(_)) {
                    self.give_back(&batch);
                }
                error.answer_all(batch);
            }
        }
    }
}

impl Writer {
    /// Nobody was told of these tokens, so whatever was reserved with them may go, sooner than its lease lets it.
    fn give_back(&self, batch: &[Pending<Self>]) {
        let Some(releases) = &self.releases else { return };
        for call in batch {
            if let Some(release) = call.args.release() {
                releases.post(call.id.clone(), release);
            }
        }
    }

    /// What the calls have come to, once it is committed.
    async fn commit(&self, batch: &[Pending<Self>]) -> Result<Vec<WriteAnswer>, BatchError> {
        if let Some(pause) = self.throttle.pause(Instant::now()) {
            tokio::time::sleep(pause).await;
        }
        let turn = self.database.turn.take_as(batch.iter().any(|call| call.is_urgent)).await;
        let connection = self.database.acquire().await.map_err(BatchError::Undone)?;
        // Not IMMEDIATE, which is a right to write to every attached database, whoever else writes there. The first
        // statement writes and nothing has been read before it, so it waits for its own database as it does alone.
        let begin = SqlStr::from_static("BEGIN");
        let open = OpenTransaction::begin(connection, begin, Some(turn)).await.map_err(|error| self.undone(error))?;
        let mut from = None;
        let committed = self.commit_in(open, batch, &mut from).await;
        if let Some(from) = from {
            self.throttle.held(from, Instant::now());
        }
        committed
    }

    /// Tells since when the database has been held.
    async fn commit_in(
        &self,
        mut open: OpenTransaction<Sqlite>,
        batch: &[Pending<Self>],
        from: &mut Option<Instant>,
    ) -> Result<Vec<WriteAnswer>, BatchError> {
        let mut answers = Vec::with_capacity(batch.len());
        for call in batch {
            // It went while the batch waited for its turn: what it would have is not to be given back first.
            if call.args.release().is_some() && call.is_cancelled() {
                answers.push(WriteAnswer::Reserved(None));
                continue;
            }
            let connection = open.connection_mut();
            match self.statements.execute(connection, call.id.as_ref(), call.args.of(&call.id)).await {
                Ok(answer) => {
                    from.get_or_insert_with(Instant::now);
                    answers.push(answer);
                }
                Err(error) => {
                    if let Err(gone) = open.rollback().await {
                        open.close_on_drop();
                        // Else SQLite has ended the transaction, of which sqlx does not know.
                        if matches!(gone, sqlx::Error::WorkerCrashed) {
                            return Err(BatchError::Unknown(self.database.error()(gone)));
                        }
                    }
                    return Err(self.undone(error));
                }
            }
        }
        match open.commit().await {
            Ok(()) => Ok(answers),
            Err(error @ sqlx::Error::Database(_)) => Err(self.undone(error)),
            Err(error) => Err(BatchError::Unknown(self.database.error()(error))),
        }
    }

    /// Of an error after which nothing of the batch is there.
    fn undone(&self, error: sqlx::Error) -> BatchError {
        if Cause::of_sqlx(&error) == Some(Cause::Contention) {
            return BatchError::Undone(self.database.error()(error));
        }
        BatchError::Divisible
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
