//! Group commit: while one statement is on its way, the calls that arrive form the next one.
//!
//! A commit costs a disk's flush and a round trip, however many rows it is for. So each kind of call (reserve, finish,
//! renew, release) has a [`Line`]: a caller that finds a free lane runs its own statement, on its own task,
//! as if there were no batches; whoever finds none waits, and the lane that comes free takes all who wait along in one
//! statement. A line has one lane, and a second where a crowd waits. There is no timer, so nobody ever waits for company.
//!
//! What a caller is told is what its call alone would have told it:
//!
//! - Of several reservations of one key the first is in the statement, and the others are answered from what became of
//!   it; of several calls of another kind for one key the others go alone, afterwards.
//! - Where the database refuses a batch for something that one row may be to blame for (it is too long for the index, it
//!   is locked by a transaction that takes its time, a trigger objects), nothing has happened, and every caller of it
//!   goes alone.
//! - Where the answer of a batch is lost, nobody knows what happened, and every caller is told so.
//! - A reservation whose caller has gone is given back.
//!
//! Rows are sorted by key, so that two batches lock what they share in the same order.

mod finish;
mod release;
mod renew;
mod reserve;
mod sql;

use std::future::Future;
use std::sync::Arc;

use cratestack_schema::TableName;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgPool, Postgres};
use uuid::Uuid;

use self::finish::{Finish, Finishing};
use self::release::{Release, Releasing};
use self::renew::{Renew, Renewing};
use self::reserve::{Grant, Reserve, Reserving};
use self::sql::Statements;
use super::connection::PriorityPool;
use super::{Refusal, judge, refused};
use crate::stores::line::{self, Entry, Kind, Line};
use crate::stores::renewal::Renewal;
use crate::{Claim, ClaimOutcome, Completion, StoreError};

/// The four lines of one store.
#[derive(Debug)]
pub(super) struct Batches {
    reservations: Line<Reserving>,
    completions: Line<Finishing>,
    renewals: Line<Renewing>,
    releases: Line<Releasing>,
}

impl Batches {
    pub(super) fn new(pool: &PgPool, priority: &PriorityPool, table: &TableName) -> Self {
        let (pool, priority) = (pool.clone(), priority.clone());
        let database = Database { pool, priority, sql: Arc::new(Statements::new(table)), table: table.clone() };
        let releases = Line::new(Releasing(database.clone()));
        Self {
            reservations: Line::new(Reserving { database: database.clone(), releases: releases.clone() }),
            completions: Line::new(Finishing(database.clone())),
            renewals: Line::new(Renewing(database)),
            releases,
        }
    }

    pub(super) async fn reserve(
        &self,
        claim: Claim<'_>,
        alone: impl Future<Output = Result<ClaimOutcome, StoreError>>,
    ) -> Result<ClaimOutcome, StoreError> {
        let alone = async { alone.await.map(Grant::held) };
        let bytes = claim.principal.len() + claim.key.len();
        let grant = self.reservations.call(bytes, || Reserve::new(&claim), alone).await?;
        Ok(grant.take())
    }

    /// Whether the outcome was recorded by this call.
    pub(super) async fn finish(
        &self,
        completion: Completion<'_>,
        alone: impl Future<Output = Result<bool, StoreError>>,
    ) -> Result<bool, StoreError> {
        let Completion { principal, key, headers, body, .. } = completion;
        let bytes = principal.len() + key.len() + headers.len() + body.len();
        self.completions.call(bytes, || Finish::new(&completion), alone).await
    }

    pub(super) async fn renew(
        &self,
        (principal, key): (&str, &str),
        token: Uuid,
        (lease, retention): (i64, i64),
        alone: impl Future<Output = Result<Renewal, StoreError>>,
    ) -> Result<Renewal, StoreError> {
        let own = || Renew { principal: principal.into(), key: key.into(), token, lease, retention };
        self.renewals.call(principal.len() + key.len(), own, alone).await
    }

    pub(super) async fn release(
        &self,
        (principal, key): (&str, &str),
        token: Uuid,
        alone: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let own = || Release { principal: principal.into(), key: key.into(), token };
        self.releases.call(principal.len() + key.len(), own, alone).await
    }
}

/// What a batch is run on.
#[derive(Debug, Clone)]
struct Database {
    pool: PgPool,
    priority: PriorityPool,
    sql: Arc<Statements>,
    table: TableName,
}

/// Why a batch has no answer.
#[derive(Debug)]
enum Failure {
    /// Nothing has happened, and one row may be to blame.
    Divisible,
    /// What has happened is not known, or would happen to each row.
    Whole(StoreError),
}

impl Failure {
    /// Tells everybody.
    fn tell<K: Kind>(&self, entries: Vec<Entry<K>>) {
        for entry in entries {
            match self {
                Self::Divisible => entry.send_alone(),
                Self::Whole(error) => entry.answer(Err(error.clone())),
            }
        }
    }
}

impl Database {
    /// What the statement returned, once it is committed.
    async fn run(
        &self,
        statement: impl Future<Output = Result<Vec<PgRow>, sqlx::Error>>,
    ) -> Result<Vec<PgRow>, Failure> {
        statement.await.map_err(|error| {
            if is_divisible(&error) { Failure::Divisible } else { Failure::Whole(refused(&self.table)(error)) }
        })
    }

    /// The same, for a statement that ends or renews reservations.
    async fn run_first(&self, statement: Query<'_, Postgres, PgArguments>) -> Result<Vec<PgRow>, Failure> {
        self.run(async { statement.fetch_all(&mut *self.priority.acquire().await?).await }).await
    }
}

fn is_divisible(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code();
            let code = code.as_deref().unwrap_or_default();
            match code {
                // A lock that is not to be had, transactions in each other's way, a lock table that is full.
                "55P03" | "40001" | "40P01" | "53200" => true,
                code => judge(code) == Refusal::Database,
            }
        }
        // Nothing has been sent.
        sqlx::Error::Encode(_) => true,
        _ => false,
    }
}

/// Which rows of a batch the statement returned, by the ordinal in its first column.
fn answered(rows: &[PgRow], entries: usize, table: &TableName) -> Result<Vec<bool>, Failure> {
    let mut answered = vec![false; entries];
    for row in rows {
        let index = ordinal(row, 0).map_err(|error| Failure::Whole(refused(table)(error)))?;
        if let Some(answered) = answered.get_mut(index) {
            *answered = true;
        }
    }
    Ok(answered)
}

/// The index that an ordinal of SQL, which counts from one, stands for.
fn ordinal(row: &PgRow, column: usize) -> Result<usize, sqlx::Error> {
    use sqlx::Row as _;
    let ordinal: i64 = row.try_get(column)?;
    Ok(usize::try_from(ordinal.saturating_sub(1)).unwrap_or(usize::MAX))
}
