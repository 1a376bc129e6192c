//! The suite, tested: a store that is right passes, and each store that is wrong in one way fails in that way only.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio::time::Instant;
use uuid::Uuid;

use super::*;
use crate::store::{
    Claim, ClaimOutcome, Completion, IdempotencyRecord, IdempotencyStore, LeaseState, ReservationOutcome, StoreError,
};
use crate::stores::MemoryStore;

#[tokio::test(flavor = "multi_thread")]
async fn memory_store_keeps_every_promise() {
    let report = Conformance::new().require_every_method().run(|| async { MemoryStore::new() }).await;
    report.assert();
    let skipped = report.checks().iter().filter(|check| check.verdict != Verdict::Passed).map(|check| check.name);
    assert_eq!(skipped.collect::<Vec<_>>(), STALLING, "{report}");
}

/// How many checks are about methods for operators, which no store of these tests has.
const OPERATED: usize = 7 + 6;

/// What is checked only of a store whose writes can be stalled.
const STALLING: [&str; 2] =
    ["reservation_that_waited_is_leased_from_its_write", "renewal_that_waited_holds_a_lease_that_lies_ahead"];

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_from_before_the_write_fails() {
    for (fault, expected) in [(Fault::None, &[][..]), (Fault::LeasesFromTheAsking, &STALLING)] {
        let gate = Arc::new(RwLock::new(()));
        let stalled = Arc::clone(&gate);
        let suite = Conformance::new().require_every_method().model_runs(100);
        let report = suite
            .stall_writes(move || Arc::clone(&stalled).write_owned())
            .run(|| async { Naive { gate: Arc::clone(&gate), ..Naive::with(fault) } })
            .await;
        assert_eq!(report.failed(), expected, "{report}");
        let skipped = report.checks().iter().filter(|check| matches!(check.verdict, Verdict::Skipped(_)));
        assert_eq!(skipped.count(), OPERATED, "{report}");
    }
}

#[tokio::test]
async fn one_thread_and_one_shared_store_are_enough() {
    let store = MemoryStore::new();
    Conformance::new().require_every_method().run(|| async { store.clone() }).await.assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_the_required_methods_passes_what_applies() {
    let report = conformance(|| async { RequiredOnly(MemoryStore::new()) }).await;
    report.assert();
    let skipped: Vec<_> = report.checks().iter().filter(|check| matches!(check.verdict, Verdict::Skipped(_))).collect();
    assert_eq!(skipped.len(), 20 + OPERATED, "{report}");

    let report = Conformance::new().require_every_method().run(|| async { RequiredOnly(MemoryStore::new()) }).await;
    for name in ["finish_tells_held_from_lost", "sweep_deletes_expired_rows_only"] {
        assert!(report.failed().contains(&name), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_naive_store_is_right_without_a_fault() {
    let report = Conformance::new().require_every_method().run(|| async { Naive::with(Fault::None) }).await;
    report.assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_is_not_atomic_fails() {
    expect(
        Fault::ChecksThenInserts,
        &[
            "one_of_many_callers_reserves",
            "many_keys_reserve_side_by_side",
            "racing_requests_conflict",
            "one_of_many_callers_takes_over",
            "late_holder_and_takeover_exclude_each_other",
            "dead_reservation_belongs_to_its_request",
            "late_finish_tells_who_won",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_under_the_old_token_fails() {
    expect(
        Fault::KeepsTheToken,
        &[
            "late_holder_and_takeover_exclude_each_other",
            "takeover_rotates_the_token",
            "stale_holder_writes_nothing",
            "expired_record_is_a_fresh_key",
            "silent_holder_loses_the_key",
            "stale_holder_is_told_lost",
            "late_finish_tells_who_won",
            "agrees_with_the_reference_model",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_overwrites_fails() {
    expect(
        Fault::Overwrites,
        &["racing_completions_freeze_one", "outcome_is_frozen", "agrees_with_the_reference_model"],
    )
    .await;
}

/// The rest of the ways to be wrong that the suite was written against.
#[tokio::test(flavor = "multi_thread")]
async fn every_other_fault_is_found_by_its_check() {
    let faults: &[(Fault, &[&str])] = &[
        (Fault::FoldsCase, &["hostile_keys_stay_distinct", "hostile_principals_stay_distinct"]),
        (Fault::Trims, &["hostile_keys_stay_distinct", "hostile_principals_stay_distinct"]),
        (Fault::CutsAtNul, &["nul_is_refused_or_kept"]),
        (Fault::GluesNames, &["principals_are_separate"]),
        (
            Fault::FreezesSuccessOnly,
            &["error_statuses_replay", "release_after_completion_does_nothing", "outcome_is_frozen"],
        ),
        (Fault::CutsBodies, &["large_outcome_replays"]),
        (Fault::ReleasesFinished, &["release_after_completion_does_nothing"]),
        (Fault::ConflictsInFlightOnly, &["another_request_conflicts_when_finished", "record_replays_until_it_expires"]),
        (Fault::RefusesThePast, &["past_expiry_neither_fails_nor_blocks"]),
        (Fault::LeaseIsRetention, &["lease_does_not_shorten_the_retention"]),
        (Fault::RenewsNothing, &["renewals_keep_the_reservation"]),
        (Fault::RenewalSetsRetention, &["renewal_never_shortens_the_retention"]),
        (Fault::SaysHeld, &["stale_holder_is_told_lost", "finish_tells_held_from_lost"]),
        (Fault::CountsNothing, &["attempts_count_takeovers"]),
        (Fault::LendsTheDead, &["dead_reservation_belongs_to_its_request", "agrees_with_the_reference_model"]),
        (
            Fault::FreesTakeovers,
            &[
                "attempts_count_takeovers",
                "released_takeover_belongs_to_its_request",
                "agrees_with_the_reference_model",
            ],
        ),
        (Fault::SweepsTheLiving, &["sweep_deletes_expired_rows_only"]),
        (Fault::SweepsWithoutLimit, &["sweep_respects_its_limit"]),
        (Fault::StaysBusyWhenDropped, &["dropped_reservation_leaves_the_key_usable"]),
        (Fault::PanicsAtBinary, &["binary_outcome_replays"]),
    ];
    let mut suites = tokio::task::JoinSet::new();
    for &(fault, expected) in faults {
        suites.spawn(async move { (fault, expected, Conformance::new().run(|| async { Naive::with(fault) }).await) });
    }
    while let Some(joined) = suites.join_next().await {
        let (fault, expected, report) = joined.unwrap();
        for name in expected {
            assert!(report.failed().contains(name), "{fault:?} was not found by {name}: {report}");
        }
        println!("{fault:?}: {report}");
    }
}

#[tokio::test]
async fn a_failure_of_the_model_repeats_from_its_seed() {
    let suite = Conformance::new().seed(0x5eed);
    let report = suite.run(|| async { Naive::with(Fault::Overwrites) }).await;
    let failure = |report: &Report| {
        let model = report.checks().iter().find(|check| check.name == "agrees_with_the_reference_model").unwrap();
        match &model.verdict {
            Verdict::Failed(why) => why.clone(),
            other => panic!("{other:?}"),
        }
    };
    let why = failure(&report);
    let seed = why.split("seed(0x").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    let seed = u64::from_str_radix(seed, 16).unwrap();
    let again = Conformance::new().seed(seed).model_runs(1).run(|| async { Naive::with(Fault::Overwrites) }).await;
    let history = |why: &str| why.split("the history:").nth(1).map(str::to_owned);
    assert_eq!(history(&failure(&again)), history(&why));
}

#[tokio::test]
async fn a_report_lists_every_failure_in_words() {
    let report = Report {
        seed: 0x5eed,
        checks: vec![
            Check { name: "one", verdict: Verdict::Passed },
            Check { name: "two", verdict: Verdict::Failed("saw two".to_owned()) },
            Check { name: "three", verdict: Verdict::Skipped("no leases".to_owned()) },
            Check { name: "four", verdict: Verdict::Failed("saw four".to_owned()) },
        ],
    };
    assert_eq!(report.failed(), ["two", "four"]);
    assert_eq!(
        report.to_string(),
        "1 passed, 2 failed, 1 skipped; seed 0x5eed\nFAILED  two: saw two\nskipped three: no leases\nFAILED  four: saw four\n"
    );
    let panic = std::panic::catch_unwind(|| report.assert()).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("two: saw two") && text.contains("four: saw four"), "{text}");
}

async fn expect(fault: Fault, names: &[&'static str]) {
    let report = Conformance::new().require_every_method().run(|| async { Naive::with(fault) }).await;
    let (failed, expected): (HashSet<_>, HashSet<_>) =
        (report.failed().into_iter().collect(), names.iter().copied().collect());
    assert_eq!(failed, expected, "{report}");
}

/// A store as it was before there were leases.
struct RequiredOnly(MemoryStore);

#[async_trait]
impl IdempotencyStore for RequiredOnly {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        self.0.reserve_or_fetch(principal, key, request_hash, expires_at).await
    }

    async fn complete(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Result<(), StoreError> {
        self.0.complete(principal, key, token, status, headers, body).await
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        self.0.release(principal, key, token).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    ChecksThenInserts,
    KeepsTheToken,
    Overwrites,
    FoldsCase,
    Trims,
    CutsAtNul,
    GluesNames,
    FreezesSuccessOnly,
    CutsBodies,
    ReleasesFinished,
    ConflictsInFlightOnly,
    RefusesThePast,
    LeaseIsRetention,
    RenewsNothing,
    RenewalSetsRetention,
    SaysHeld,
    CountsNothing,
    LendsTheDead,
    FreesTakeovers,
    LeasesFromTheAsking,
    SweepsTheLiving,
    SweepsWithoutLimit,
    StaysBusyWhenDropped,
    PanicsAtBinary,
}

/// The contract in its plainest form, with a place to go wrong.
struct Naive {
    fault: Fault,
    rows: Mutex<Rows>,
    busy: Mutex<HashSet<(String, String)>>,
    /// Held for reading by whoever writes.
    gate: Arc<RwLock<()>>,
}

type Rows = HashMap<(String, String), Row>;

struct Row {
    attempt: u32,
    hash: [u8; 32],
    token: Uuid,
    leased_until: Instant,
    kept_until: Instant,
    record: IdempotencyRecord,
    done: bool,
}

impl Row {
    fn is_live(&self, now: Instant) -> bool {
        now < self.kept_until && (self.done || now < self.leased_until)
    }
}

const CENTURY: Duration = Duration::from_hours(100 * 365 * 24);

impl Naive {
    fn with(fault: Fault) -> Self {
        Self { fault, rows: Mutex::default(), busy: Mutex::default(), gate: Arc::default() }
    }

    /// Waits until it may write, and says what is now.
    async fn turn(&self) -> (RwLockReadGuard<'_, ()>, Instant) {
        let asked = Instant::now();
        let turn = self.gate.read().await;
        (turn, if self.fault == Fault::LeasesFromTheAsking { asked } else { Instant::now() })
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, principal: &str, key: &str) -> (String, String) {
        let spelled = |name: &str| match self.fault {
            Fault::FoldsCase => name.to_lowercase(),
            Fault::Trims => name.trim_end().to_owned(),
            Fault::CutsAtNul => name.split('\0').next().unwrap_or_default().to_owned(),
            _ => name.to_owned(),
        };
        match self.fault {
            Fault::GluesNames => (String::new(), format!("{principal}:{key}")),
            _ => (spelled(principal), spelled(key)),
        }
    }

    /// What a live row answers.
    fn look(&self, rows: &Rows, claim: &Claim<'_>) -> Option<ClaimOutcome> {
        let now = Instant::now();
        let is_lent = |row: &Row| row.hash == claim.request_hash || self.fault == Fault::LendsTheDead;
        let row = rows
            .get(&self.slot(claim.principal, claim.key))
            .filter(|row| row.is_live(now) || (now < row.kept_until && !is_lent(row)))?;
        let conflicts = row.hash != claim.request_hash && (!row.done || self.fault != Fault::ConflictsInFlightOnly);
        Some(match row.done {
            _ if conflicts => ClaimOutcome::Conflict,
            true => ClaimOutcome::Replay(row.record.clone()),
            false => ClaimOutcome::InFlight,
        })
    }

    fn insert(&self, rows: &mut Rows, claim: &Claim<'_>, now: Instant) -> ClaimOutcome {
        let slot = self.slot(claim.principal, claim.key);
        let dead = rows.get(&slot);
        let created_at = SystemTime::now();
        let kept = match self.fault {
            Fault::LeaseIsRetention => claim.lease.min(claim.retention).min(CENTURY),
            _ => claim.retention.min(CENTURY),
        };
        let token = match dead {
            Some(dead) if self.fault == Fault::KeepsTheToken => dead.token,
            _ => Uuid::new_v4(),
        };
        let attempt = match dead {
            Some(dead) if !dead.done && now < dead.kept_until && self.fault != Fault::CountsNothing => dead.attempt + 1,
            _ => 1,
        };
        let record = IdempotencyRecord {
            key: claim.key.to_owned(),
            principal_fingerprint: claim.principal.to_owned(),
            request_hash: claim.request_hash,
            response_status: 0,
            response_headers: Vec::new(),
            response_body: Vec::new(),
            created_at,
            expires_at: created_at + kept,
        };
        let row = Row {
            attempt,
            hash: claim.request_hash,
            token,
            leased_until: now + claim.lease.min(kept),
            kept_until: now + kept,
            record,
            done: false,
        };
        rows.insert(slot, row);
        ClaimOutcome::Reserved { token, attempt }
    }
}

#[async_trait]
impl IdempotencyStore for Naive {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        let left = expires_at.duration_since(SystemTime::now());
        if left.is_err() && self.fault == Fault::RefusesThePast {
            return Err(StoreError::Internal("expires_at has passed".to_owned()));
        }
        let retention = left.unwrap_or_default();
        let claim = Claim { principal, key, request_hash, lease: retention, retention };
        self.reserve(claim).await.map(ReservationOutcome::from)
    }

    async fn complete(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Result<(), StoreError> {
        let body = bytes::Bytes::copy_from_slice(body);
        self.finish(Completion { principal, key, token, status, headers, body: &body }).await.map(drop)
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        let finished_too = self.fault == Fault::ReleasesFinished;
        let mut rows = self.rows();
        let slot = self.slot(principal, key);
        match rows.get_mut(&slot).filter(|row| row.token == token && (!row.done || finished_too)) {
            Some(row) if row.attempt > 1 && self.fault != Fault::FreesTakeovers => row.leased_until = Instant::now(),
            Some(_) => drop(rows.remove(&slot)),
            None => {}
        }
        Ok(())
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        if self.fault == Fault::ChecksThenInserts {
            let seen = self.look(&self.rows(), &claim);
            tokio::time::sleep(Duration::from_millis(5)).await;
            return Ok(seen.unwrap_or_else(|| self.insert(&mut self.rows(), &claim, Instant::now())));
        }
        if self.fault == Fault::StaysBusyWhenDropped {
            let slot = self.slot(claim.principal, claim.key);
            if !self.busy.lock().unwrap().insert(slot.clone()) {
                return Ok(ClaimOutcome::InFlight);
            }
            tokio::task::yield_now().await;
            self.busy.lock().unwrap().remove(&slot);
        }
        let (_turn, now) = self.turn().await;
        let mut rows = self.rows();
        Ok(self.look(&rows, &claim).unwrap_or_else(|| self.insert(&mut rows, &claim, now)))
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        let (_turn, now) = self.turn().await;
        let (lease, retention) = (lease.min(CENTURY), retention.min(CENTURY));
        let mut rows = self.rows();
        let running = |row: &&mut Row| row.token == token && !row.done;
        let Some(row) = rows.get_mut(&self.slot(principal, key)).filter(running) else { return Ok(LeaseState::Lost) };
        if self.fault == Fault::RenewsNothing {
            return Ok(LeaseState::Held);
        }
        row.kept_until = match self.fault {
            Fault::RenewalSetsRetention => now + retention,
            _ => row.kept_until.max(now + retention),
        };
        row.record.expires_at = row.record.expires_at.max(SystemTime::now() + retention);
        row.leased_until = row.kept_until.min(now + lease);
        Ok(LeaseState::Held)
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        let Completion { principal, key, token, status, headers, body } = completion;
        assert!(self.fault != Fault::PanicsAtBinary || std::str::from_utf8(body).is_ok(), "not text");
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&self.slot(principal, key)).filter(|row| row.token == token) else {
            return Ok(if self.fault == Fault::SaysHeld { LeaseState::Held } else { LeaseState::Lost });
        };
        if status >= 500 && self.fault == Fault::FreezesSuccessOnly {
            return Ok(LeaseState::Held);
        }
        if !row.done || self.fault == Fault::Overwrites {
            let end = if self.fault == Fault::CutsBodies { body.len().min(65_535) } else { body.len() };
            row.record.response_status = status;
            row.record.response_headers = headers.to_vec();
            row.record.response_body = body[..end].to_vec();
            row.done = true;
        }
        Ok(LeaseState::Held)
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        let now = Instant::now();
        let limit = if self.fault == Fault::SweepsWithoutLimit { usize::MAX } else { limit as usize };
        let unfinished_too = self.fault == Fault::SweepsTheLiving;
        let dead = |row: &Row| row.kept_until <= now || (unfinished_too && !row.is_live(now));
        Ok(self.rows().extract_if(|_, row| dead(row)).take(limit).count() as u64)
    }
}
