//! Each mend left out has a counterexample, printed as the shortest history that leads to it.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::properties;
use crate::rules::{Asker, Faults, Rules, Scenario, asks};
use crate::state::Mode::Leased;
use crate::state::Request::A;
use crate::{IN_TRANSACTIONS, LEASED, MIXED, RETRIES, told};

/// How deep to look for a counterexample.
const DEEPEST: usize = 24;

fn breaks(promise: &'static str, scenario: Scenario) {
    let scenario = Scenario { merges_alike: false, ..scenario };
    let until = HasDiscoveries::AllOf(BTreeSet::from([promise]));
    // The checker goes on for a while once it has found one, and keeps the last: so no deeper than need be.
    let found = (2..DEEPEST).find_map(|depth| {
        let checker = scenario.checker().finish_when(until.clone()).target_max_depth(depth).spawn_bfs().join();
        checker.discovery(promise)
    });
    let Some(path) = found else { panic!("no history of {DEEPEST} steps breaks: {promise}") };
    println!("not so that {promise}:\n    {}", told(&path.into_actions()));
}

fn without(rules: Rules, callers: [Asker; 3], faults: Faults) -> Scenario {
    Scenario { rules, ..Scenario::of(callers, faults, 1) }
}

#[test]
fn a_reservation_that_came_late_is_run_all_the_same() {
    let rules = Rules { late_reservations_are_not_run: false, ..Rules::ALL };
    breaks(properties::ONE_EFFECT, without(rules, LEASED, Faults { late: true, ..Faults::NONE }));
}

#[test]
fn a_lease_counts_from_the_start_of_its_statement() {
    let rules = Rules { leases_count_from_the_write: false, ..Rules::ALL };
    let scenario = without(rules, LEASED, Faults { late: true, ..Faults::NONE });
    breaks(properties::HELD_HOLDS, scenario);
    breaks(properties::ONE_EFFECT, scenario);
}

#[test]
fn a_process_takes_over_what_it_runs() {
    let rules = Rules { runs_are_registered: false, ..Rules::ALL };
    // Renewals that wait for a connection are late; requests are not.
    breaks(properties::NONE_BESIDE, without(rules, RETRIES, Faults { late: true, ..Faults::NONE }));
}

#[test]
fn a_process_runs_beside_its_own_pending_outcome() {
    let rules = Rules { pending_outcomes_answer: false, ..Rules::ALL };
    breaks(properties::NONE_BESIDE, without(rules, RETRIES, Faults { away: true, ..Faults::NONE }));
}

#[test]
fn a_dead_row_is_anybodys() {
    let rules = Rules { dead_rows_belong: false, ..Rules::ALL };
    breaks(properties::NO_STRANGER, without(rules, LEASED, Faults { crash: true, ..Faults::NONE }));
}

#[test]
fn a_cache_outlives_the_session_of_the_server() {
    let rules = Rules { cache_is_tied: false, ..Rules::ALL };
    let scenario = without(rules, LEASED, Faults { failover: true, ..Faults::NONE });
    breaks(properties::THE_RECORD, Scenario { cache: true, ..scenario });
}

#[test]
fn a_hot_standby_is_believed() {
    let rules = Rules { standbys_know_nothing: false, ..Rules::ALL };
    let scenario = without(rules, IN_TRANSACTIONS, Faults { lost: true, standby: true, ..Faults::NONE });
    breaks(properties::NOTHING_IS_NOTHING, Scenario { budget: 2, ..scenario });
}

#[test]
fn what_the_database_gave_up_is_recorded() {
    let rules = Rules { given_up_is_undone: false, ..Rules::ALL };
    breaks(properties::RECORD_AND_EFFECT, without(rules, IN_TRANSACTIONS, Faults { give_up: true, ..Faults::NONE }));
}

#[test]
fn waiters_pass_an_outcome_on_past_its_ttl() {
    let rules = Rules { waiters_mind_the_ttl: false, ..Rules::ALL };
    let scenario = without(rules, RETRIES, Faults::NONE);
    breaks(properties::NOT_OUTLIVED, Scenario { wait: true, budget: 0, ..scenario });
}

#[test]
fn nobody_is_somebody() {
    let rules = Rules { nobody_is_refused: false, ..Rules::ALL };
    let nobody = Asker { is_nobody: true, ..asks(A, Leased) };
    breaks(properties::ONES_OWN, without(rules, [nobody, nobody, asks(A, Leased)], Faults::NONE));
}

#[test]
fn a_takeover_keeps_the_token() {
    let rules = Rules { tokens_rotate: false, ..Rules::ALL };
    breaks(properties::NO_STALE_WRITER, without(rules, LEASED, Faults { stall: true, ..Faults::NONE }));
}

#[test]
fn a_record_overwrites_an_outcome() {
    let rules = Rules { records_give_way: false, ..Rules::ALL };
    breaks(properties::NOT_ALTERED, without(rules, MIXED, Faults::NONE));
}

/// The first attempt's effect may have happened; the second one panics before its own, and gives the key back as if it
/// had never been reserved.
#[test]
fn a_released_takeover_is_anybodys() {
    let rules = Rules { released_takeovers_stay: false, ..Rules::ALL };
    breaks(properties::NO_STRANGER, without(rules, LEASED, Faults { crash: true, ..Faults::NONE }));
}
