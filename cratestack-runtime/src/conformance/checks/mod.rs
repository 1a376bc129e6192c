//! The checks, one file for each kind of promise, and what runs them.

mod cancellation;
mod concurrency;
mod expiry;
mod lease;
mod names;
mod operator;
mod outcome;
mod reservation;
mod stall;
mod steps;
mod sweep;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use super::bench::{A, Bench, Checked, LONG, Stop, Way};
use super::model;
use super::report::{Check, Report, Verdict};
use super::suite::Conformance;
use crate::store::{IdempotencyStore, LeaseState};

/// A check that could not tell starts over with twice the unit, this many times.
const ROUNDS: u32 = 5;

struct Entry {
    name: &'static str,
    ways: &'static [Way],
    needs_leases: bool,
    run: fn(Bench) -> Pin<Box<dyn Future<Output = Checked> + Send>>,
}

macro_rules! entries {
    ($ways:expr, $needs_leases:expr; $($module:ident: $($name:ident),+;)+) => {
        [$($(Entry {
            name: stringify!($name),
            ways: $ways,
            needs_leases: $needs_leases,
            run: |bench| Box::pin($module::$name(bench)),
        }),+),+]
    };
}

/// What every store promises, however its methods are called.
fn basic() -> impl Iterator<Item = Entry> {
    entries! { &[Way::Required, Way::Extended], false;
        concurrency: one_of_many_callers_reserves, many_keys_reserve_side_by_side, racing_requests_conflict,
            one_of_many_callers_takes_over, late_holder_and_takeover_exclude_each_other,
            readers_see_a_whole_outcome_or_none, racing_completions_freeze_one;
        reservation: another_request_conflicts_in_flight, another_request_conflicts_when_finished,
            release_frees_the_key, release_with_another_token_does_nothing, release_after_completion_does_nothing,
            released_token_writes_nothing, calls_on_an_unknown_key_do_nothing, principals_are_separate;
        outcome: replay_is_identical, error_statuses_replay, empty_outcome_replays, binary_outcome_replays,
            large_outcome_replays, outcome_is_frozen, another_token_completes_nothing,
            timestamps_span_the_retention;
        expiry: reservation_lives_until_it_expires, expired_reservation_is_taken_over, takeover_rotates_the_token,
            stale_holder_writes_nothing, record_replays_until_it_expires, expired_record_is_a_fresh_key,
            past_expiry_neither_fails_nor_blocks, far_expiry_is_accepted;
        names: hostile_keys_stay_distinct, hostile_principals_stay_distinct, nul_is_refused_or_kept;
        cancellation: dropped_reservation_leaves_the_key_usable, dropped_completion_can_be_repeated;
    }
    .into_iter()
}

/// What a store with leases promises beyond.
fn leased() -> impl Iterator<Item = Entry> {
    entries! { &[Way::Extended], true;
        lease: silent_holder_loses_the_key, dead_reservation_belongs_to_its_request, stale_holder_is_told_lost,
            attempts_count_takeovers, released_takeover_belongs_to_its_request, renewals_keep_the_reservation,
            renewal_sets_the_lease, renewal_extends_the_retention, renewal_never_shortens_the_retention,
            renewal_after_completion_does_nothing, lease_does_not_shorten_the_retention, lease_ends_with_the_retention,
            late_holder_keeps_an_untaken_key, late_finish_tells_who_won, finish_tells_held_from_lost,
            endless_durations_do_not_panic;
    }
    .into_iter()
}

/// What a store promises that has methods for operators.
fn operated() -> impl Iterator<Item = Entry> {
    let any = entries! { &[Way::Extended], false;
        operator: shown_records_are_as_they_are, lists_show_what_they_are_asked_for,
            removed_outcome_is_a_fresh_key_and_ends_the_session;
    };
    let leased = entries! { &[Way::Extended], true;
        operator: removal_respects_what_runs, removed_reservation_writes_nothing,
            removal_and_takeover_exclude_each_other, all_of_a_principal_are_removed_and_of_no_other;
    };
    any.into_iter().chain(leased)
}

/// What a store promises that keeps steps.
fn stepped() -> impl Iterator<Item = Entry> {
    entries! { &[Way::Extended], true;
        steps: steps_are_found_by_their_run_and_by_the_one_that_takes_over, steps_end_with_their_outcome,
            released_run_leaves_its_steps_to_its_request, steps_expire_with_their_row, steps_come_back_as_they_were,
            step_and_takeover_exclude_each_other;
    }
    .into_iter()
}

/// What goes through methods of its own choice.
fn single() -> impl Iterator<Item = Entry> {
    entries! { &[Way::Extended], false;
        sweep: sweep_deletes_expired_rows_only, sweep_respects_its_limit;
        model: agrees_with_the_reference_model;
    }
    .into_iter()
}

/// What stalls the whole store, and so runs alone.
fn stalling() -> impl Iterator<Item = Entry> {
    let reserving = entries! { &[Way::Extended], false;
        stall: reservation_that_waited_is_leased_from_its_write;
    };
    let renewing = entries! { &[Way::Extended], true;
        stall: renewal_that_waited_holds_a_lease_that_lies_ahead;
    };
    reserving.into_iter().chain(renewing)
}

pub(super) async fn run<S, F, Fut>(suite: &Conformance, connect: F) -> Report
where
    S: IdempotencyStore,
    F: Fn() -> Fut,
    Fut: Future<Output = S>,
{
    let mut bench = Bench {
        store: Arc::new(connect().await),
        principal: "".into(),
        way: Way::Required,
        unit: suite.unit,
        leases: true,
        suite: suite.clone(),
    };
    bench.leases = suite.every_method || has_leases(&bench).await;

    let mut running = JoinSet::new();
    for (place, entry) in basic().chain(leased()).chain(single()).chain(operated()).chain(stepped()).enumerate() {
        let bench = Bench { store: Arc::new(connect().await), ..bench.clone() };
        running.spawn(async move { (place, Check { name: entry.name, verdict: judge(&entry, &bench).await }) });
    }
    let mut checks = Vec::new();
    while let Some(joined) = running.join_next().await {
        checks.extend(joined);
    }
    checks.sort_by_key(|(place, _)| *place);
    let mut checks: Vec<_> = checks.into_iter().map(|(_, check)| check).collect();
    for entry in stalling() {
        let bench = Bench { store: Arc::new(connect().await), ..bench.clone() };
        checks.push(Check { name: entry.name, verdict: judge(&entry, &bench).await });
    }
    Report { seed: suite.seed, checks }
}

/// A store that panics or fails here is taken to have leases, so that the checks can say what is wrong.
async fn has_leases(bench: &Bench) -> bool {
    let bench = bench.as_principal(&fresh_principal());
    let probe = async move {
        let (token, _) = bench.lease("probe", A, LONG, LONG, "a fresh key").await?;
        bench.renew("probe", token, LONG, LONG).await
    };
    !matches!(contained(LONG, probe).await, Ok(LeaseState::Unknown))
}

async fn judge(entry: &Entry, bench: &Bench) -> Verdict {
    if entry.needs_leases && !bench.leases {
        return Verdict::Skipped("the store has no leases: `renew` answers `Unknown`".to_owned());
    }
    let mut ways = JoinSet::new();
    for &way in entry.ways {
        let run = entry.run;
        let bench = Bench { way, ..bench.clone() };
        ways.spawn(async move { (way, in_rounds(run, &bench).await) });
    }
    let mut verdict = Verdict::Passed;
    while let Some(joined) = ways.join_next().await {
        match joined {
            Ok((way, Verdict::Failed(why))) if entry.ways.len() > 1 => {
                return Verdict::Failed(format!("{why} (through {way})"));
            }
            Ok((_, failed @ Verdict::Failed(_))) => return failed,
            Ok((_, Verdict::Passed)) => {}
            Ok((_, skipped)) => verdict = skipped,
            Err(error) => return Verdict::Failed(error.to_string()),
        }
    }
    verdict
}

async fn in_rounds(run: fn(Bench) -> Pin<Box<dyn Future<Output = Checked> + Send>>, bench: &Bench) -> Verdict {
    for round in 0..ROUNDS {
        let unit = bench.unit * 2_u32.pow(round);
        let bench = Bench { unit, principal: fresh_principal().into(), ..bench.clone() };
        let limit = Duration::from_mins(2) + unit * 200 + Duration::from_millis(100) * bench.suite.runs;
        match contained(limit, run(bench)).await {
            Ok(()) => return Verdict::Passed,
            Err(Stop::TooSlow) => {}
            Err(Stop::Broken(why)) => return Verdict::Failed(why),
            Err(Stop::NotOffered(what)) => return Verdict::Skipped(what.to_owned()),
        }
    }
    let longest = bench.unit * 2_u32.pow(ROUNDS - 1);
    Verdict::Failed(format!("the store is too slow to tell, even with a unit of {longest:?}: give a longer `unit`"))
}

/// Turns a panic or a hang of the store into a failure of one check.
async fn contained<T: Send + 'static>(
    limit: Duration,
    check: impl Future<Output = Checked<T>> + Send + 'static,
) -> Checked<T> {
    match tokio::spawn(timeout(limit, check)).await {
        Ok(Ok(checked)) => checked,
        Ok(Err(_)) => Err(Stop::Broken(format!("the store hangs: no verdict within {limit:?}"))),
        Err(error) => Err(Stop::Broken(format!("the store panicked: {error}"))),
    }
}

fn fresh_principal() -> String {
    format!("conformance-{}", Uuid::new_v4())
}
