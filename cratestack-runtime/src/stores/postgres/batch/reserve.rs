use std::collections::HashMap;

use cratestack_schema::TableName;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::line::{Entry, Kind, Line};
use super::release::{Release, Releasing};
use super::{Database, Failure, ordinal};
use crate::stores::postgres::{LOOKS, TICK, live_row, refused};
use crate::stores::row::{Row, attempt, within};
use crate::{Claim, ClaimOutcome, StoreError};

/// One claim, its times in ticks.
pub(super) struct Reserve {
    principal: Box<str>,
    key: Box<str>,
    request_hash: [u8; 32],
    lease: i64,
    retention: i64,
}

impl Reserve {
    pub(super) fn new(claim: &Claim<'_>) -> Self {
        let (lease, retention) = TICK.claim(claim.lease, claim.retention);
        Self {
            principal: claim.principal.into(),
            key: claim.key.into(),
            request_hash: claim.request_hash,
            lease,
            retention,
        }
    }

    /// What a caller is told that asks just after the key was reserved for `self`.
    fn answer_to(&self, next: &Self) -> ClaimOutcome {
        if self.request_hash == next.request_hash { ClaimOutcome::InFlight } else { ClaimOutcome::Conflict }
    }

    fn classify(&self, row: Row, table: &TableName) -> Result<ClaimOutcome, StoreError> {
        row.classify(&self.principal, &self.key, self.request_hash).map_err(within(table))
    }
}

/// An answer on its way to its caller. Where it is a reservation and nobody takes it, it is given back.
#[derive(Debug)]
pub(super) struct Grant {
    outcome: ClaimOutcome,
    way_back: Option<WayBack>,
}

#[derive(Debug)]
struct WayBack {
    principal: Box<str>,
    key: Box<str>,
    releases: Line<Releasing>,
}

impl Grant {
    /// An answer that is its caller's already.
    pub(super) fn held(outcome: ClaimOutcome) -> Self {
        Self { outcome, way_back: None }
    }

    pub(super) fn take(mut self) -> ClaimOutcome {
        self.way_back = None;
        std::mem::replace(&mut self.outcome, ClaimOutcome::InFlight)
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let (ClaimOutcome::Reserved { token, .. }, Some(WayBack { principal, key, releases })) =
            (&self.outcome, self.way_back.take())
        {
            releases.post(Release { principal, key, token: *token });
        }
    }
}

#[derive(Debug)]
pub(super) struct Reserving {
    pub(super) database: Database,
    pub(super) releases: Line<Releasing>,
}

/// All who ask for one key, in the order in which they came, and the token that the key is claimed with.
struct Group {
    token: Uuid,
    entries: Vec<Entry<Reserving>>,
}

impl Group {
    fn first(&self) -> &Reserve {
        // A group is made with its first entry.
        &self.entries[0].call
    }
}

impl Kind for Reserving {
    type Call = Reserve;
    type Answer = Grant;

    const MOST: usize = 256;

    const CROWDED_LANES: usize = 2;

    fn names(call: &Reserve) -> (&str, &str) {
        (&call.principal, &call.key)
    }

    async fn run(&self, batch: Vec<Entry<Self>>) {
        let mut groups = grouped(batch);
        for _ in 0..LOOKS {
            match self.ask(&groups).await {
                Ok(rows) => groups = self.answer(groups, &rows),
                Err(failure) => {
                    if matches!(failure, Failure::Whole(_)) {
                        self.give_back(&groups);
                    }
                    for group in groups {
                        failure.tell(group.entries);
                    }
                    return;
                }
            }
            if groups.is_empty() {
                return;
            }
        }
        // Each look that found nothing was overtaken by somebody else's reservation.
        for entry in groups.into_iter().flat_map(|group| group.entries) {
            entry.answer(Ok(Grant::held(ClaimOutcome::InFlight)));
        }
    }
}

fn grouped(batch: Vec<Entry<Reserving>>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(batch.len());
    for entry in batch {
        match groups.last_mut() {
            Some(group) if Reserving::names(group.first()) == Reserving::names(&entry.call) => {
                group.entries.push(entry);
            }
            _ => groups.push(Group { token: Uuid::new_v4(), entries: vec![entry] }),
        }
    }
    groups
}

impl Reserving {
    async fn ask(&self, groups: &[Group]) -> Result<Vec<PgRow>, Failure> {
        let statement = sqlx::query(self.database.sql.reserve.clone())
            .bind(groups.iter().map(|group| &*group.first().principal).collect::<Vec<_>>())
            .bind(groups.iter().map(|group| &*group.first().key).collect::<Vec<_>>())
            .bind(groups.iter().map(|group| group.first().request_hash.as_slice()).collect::<Vec<_>>())
            .bind(groups.iter().map(|group| group.token).collect::<Vec<_>>())
            .bind(groups.iter().map(|group| group.first().lease).collect::<Vec<_>>())
            .bind(groups.iter().map(|group| group.first().retention).collect::<Vec<_>>())
            .bind(i64::try_from(groups.len()).unwrap_or(i64::MAX))
            .fetch_all(&self.database.pool);
        self.database.run(statement).await
    }

    /// Answers the groups that have a row, and returns those that have none and must ask again.
    fn answer(&self, groups: Vec<Group>, rows: &[PgRow]) -> Vec<Group> {
        let table = &self.database.table;
        let by_token: HashMap<Uuid, usize> =
            groups.iter().enumerate().map(|(index, group)| (group.token, index)).collect();
        let mut groups: Vec<_> = groups.into_iter().map(Some).collect();
        for row in rows {
            let index = match row.try_get::<Option<Uuid>, _>(TOKEN) {
                Ok(Some(token)) => Ok(by_token.get(&token).copied().unwrap_or(usize::MAX)),
                Ok(None) => ordinal(row, ORDINAL),
                Err(error) => Err(error),
            };
            // A row that cannot be told apart answers nobody; its caller asks again.
            let Some(group) = index.ok().and_then(|index| groups.get_mut(index)?.take()) else { continue };
            match row.try_get::<Option<i32>, _>(0) {
                Ok(Some(count)) => self.claimed(group, attempt(Some(i64::from(count)))),
                Ok(None) => found(group, row, table),
                Err(error) => Failure::Whole(refused(table)(error)).tell(group.entries),
            }
        }
        groups.into_iter().flatten().collect()
    }

    /// The first of those who asked has the key.
    fn claimed(&self, group: Group, attempt: u32) {
        let Group { token, entries } = group;
        let mut entries = entries.into_iter();
        let Some(first) = entries.next() else { return };
        for next in entries {
            if first.call.retention == 0 {
                // It has expired already, so whoever comes next takes it over.
                next.send_alone();
            } else {
                let outcome = first.call.answer_to(&next.call);
                next.answer(Ok(Grant::held(outcome)));
            }
        }
        let Reserve { principal, key, .. } = &first.call;
        let way_back =
            Some(WayBack { principal: principal.clone(), key: key.clone(), releases: self.releases.clone() });
        first.answer(Ok(Grant { outcome: ClaimOutcome::Reserved { token, attempt }, way_back }));
    }

    /// Nobody was told of these tokens, so whatever was reserved with them may go, sooner than its lease lets it.
    fn give_back(&self, groups: &[Group]) {
        for group in groups {
            let Reserve { principal, key, .. } = group.first();
            self.releases.post(Release { principal: principal.clone(), key: key.clone(), token: group.token });
        }
    }
}

/// The columns that tell whom a row is for: one that was claimed, one that is live.
const TOKEN: usize = 7;
const ORDINAL: usize = 8;

/// Another reservation has the key, or had it.
///
/// The statement has judged its lease for the first of those who asked. To another request than the reservation's own it is
/// all the same; the reservation's own may have to take it over.
fn found(group: Group, row: &PgRow, table: &TableName) {
    let judged = group.first().request_hash;
    for entry in group.entries {
        let outcome = live_row(row, table).and_then(|row| entry.call.classify(row, table));
        if outcome == Ok(ClaimOutcome::InFlight) && entry.call.request_hash != judged {
            entry.send_alone();
        } else {
            entry.answer(outcome.map(Grant::held));
        }
    }
}
