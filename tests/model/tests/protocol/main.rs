//! The protocol, explored state by state: callers, processes and a database whose every answer is
//! [`step`](cratestack_runtime::testing::reference::step)'s, the function that the conformance suite holds stores against.
//!
//! ```text
//! caller          process                                database
//!   Ask ────────► replay cache? own run? own outcome?
//!                 reserve ─────────────────────────────► the row, its lease counted from the write
//!                 run it, unless the answer was late ◄── Reserved / Replay / InFlight / Conflict
//!                 renew, before the lease ends ────────► Held / Lost
//!   (has hung up) the effect; the outcome is pending
//!                 finish, until there is an answer ────► Held / Lost
//! ```
//!
//! Or in a transaction: begin takes the key's lock and looks at the row; the effect and the record are one commit.
//!
//! Explored is every order of these steps, with as many requests as callers like to send, for as long as they like:
//! times are ticks that are left, so no history is too long. Bounded are:
//! - one key; three callers; two processes; four reservations at a time; leases of 2 ticks, retentions of 4;
//! - how many faults a history has: a scenario's `budget`. A statement that is not late is executed and answered in the
//!   step that sends it; one that is late is one fault, and so is each message that is lost;
//! - a failover forgets the last commit and no more; a clock jumps by 2 ticks;
//! - a tick goes by only once healthy processes have done what is due: a process that is slow without being stalled,
//!   and a database that is slow without being late, are faster than a tick;
//! - `begin` takes the lock and looks in one step; a handler panics before its effect, not after; a process that dies
//!   takes what it has not yet sent, or what was not yet executed, along;
//! - waiters are not explored beside failovers, nor beside more than one fault.
//!
//! `MODEL=large` explores with two faults in a history.

// Every flag is one of its own: a mend, a fault, a fact.
#![allow(clippy::struct_excessive_bools)]

mod action;
mod database;
mod model;
mod mutations;
mod process;
mod properties;
mod rules;
mod state;
mod symmetry;

use std::time::Instant;

use stateright::{Checker, Model};

use action::Action;
use rules::{Asker, Faults, Scenario, asks};
use state::Mode::{Leased, Transaction};
use state::Request::{A, B};

/// A request, its retry, and another request under the key.
const LEASED: [Asker; 3] = [asks(A, Leased), asks(A, Leased), asks(B, Leased)];
const IN_TRANSACTIONS: [Asker; 3] = [asks(A, Transaction), asks(A, Transaction), asks(B, Transaction)];
const MIXED: [Asker; 3] = [asks(A, Leased), asks(A, Transaction), asks(B, Transaction)];
const OTHERWISE_MIXED: [Asker; 3] = [asks(A, Transaction), asks(A, Leased), asks(B, Leased)];
/// A request and its retries.
const RETRIES: [Asker; 3] = [asks(A, Leased); 3];

fn is_large() -> bool {
    std::env::var("MODEL").is_ok_and(|size| size == "large")
}

/// One fault in a history, two in a large round.
fn budget() -> u8 {
    if is_large() { 2 } else { 1 }
}

/// Explores every state, and says how many there are.
fn holds(name: &str, scenario: Scenario) -> usize {
    let since = Instant::now();
    let checker = scenario.checker().threads(2).spawn_bfs().join();
    let (states, steps, depth) = (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    println!("{name}: {states} states, {steps} steps, {depth} deep, {:.1?}", since.elapsed());
    for (property, path) in checker.discoveries() {
        assert!(property == properties::SECOND_RUN, "{name}: not so that {property}:\n{}", told(&path.into_actions()));
    }
    checker.assert_properties();
    states
}

fn told(actions: &[Action]) -> String {
    actions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn reservations_hold_under_every_fault() {
    let scenario = Scenario { cache: true, ..Scenario::of(LEASED, Faults::ALL, budget()) };
    let states = holds("reservations", scenario);
    assert!(!is_large() || states >= 1_000_000, "a large round explores a million states, this one had {states}");
}

#[test]
fn transactions_hold_under_every_fault() {
    holds("transactions", Scenario { cache: true, ..Scenario::of(IN_TRANSACTIONS, Faults::ALL, budget()) });
}

#[test]
fn reservations_and_transactions_hold_beside_each_other() {
    holds("a transaction retries a reservation", Scenario::of(MIXED, Faults::ALL, budget()));
    holds("a reservation retries a transaction", Scenario::of(OTHERWISE_MIXED, Faults::ALL, budget()));
}

#[test]
fn waiters_hold_under_faults() {
    let few = Faults { crash: true, ..Faults::NONE };
    let faults = if is_large() { Faults { failover: false, ..Faults::ALL } } else { few };
    holds("waiters", Scenario { wait: true, ..Scenario::of(RETRIES, faults, 1) });
    holds("waiters in transactions", Scenario { wait: true, ..Scenario::of(IN_TRANSACTIONS, faults, 1) });
}

#[test]
fn without_a_fault_nothing_runs_twice() {
    for (name, callers) in [("reservations", LEASED), ("transactions", IN_TRANSACTIONS), ("mixed", MIXED)] {
        holds(name, Scenario { cache: true, ..Scenario::of(callers, Faults::NONE, 0) });
    }
}
