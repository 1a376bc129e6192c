//! What the protocol does against each way to a second run, each on its own so that it can be left out; and what a
//! history may meet.

use crate::state::{Mode, Request};

/// The mends. Every one left out has a counterexample: see `mutations`.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A reservation whose answer took longer than its lease is given back, not run.
    pub late_reservations_are_not_run: bool,
    /// A lease counts from the moment of the write.
    pub leases_count_from_the_write: bool,
    /// A process never runs a key beside itself.
    pub runs_are_registered: bool,
    /// A process answers from an outcome that it has yet to write.
    pub pending_outcomes_answer: bool,
    /// A dead row is taken over by its own request only.
    pub dead_rows_belong: bool,
    /// A takeover that is released leaves its row to its request.
    pub released_takeovers_stay: bool,
    /// What is cached ends with the session of the server that it came from.
    pub cache_is_tied: bool,
    /// What a hot standby does not have is not said to have never happened.
    pub standbys_know_nothing: bool,
    /// A transaction that the database gave up is not recorded.
    pub given_up_is_undone: bool,
    /// What is handed on to those who wait is looked at for its age.
    pub waiters_mind_the_ttl: bool,
    /// Who names nobody is refused.
    pub nobody_is_refused: bool,
    /// A takeover rotates the token.
    pub tokens_rotate: bool,
    /// A transaction's record gives way to a row that is there.
    pub records_give_way: bool,
}

impl Rules {
    pub const ALL: Self = Self {
        late_reservations_are_not_run: true,
        leases_count_from_the_write: true,
        runs_are_registered: true,
        pending_outcomes_answer: true,
        dead_rows_belong: true,
        released_takeovers_stay: true,
        cache_is_tied: true,
        standbys_know_nothing: true,
        given_up_is_undone: true,
        waiters_mind_the_ttl: true,
        nobody_is_refused: true,
        tokens_rotate: true,
        records_give_way: true,
    };
}

/// Which faults a history may meet; how many, its [`Scenario`] says.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// A message takes its time: the statement is executed late, or its answer is.
    pub late: bool,
    /// A request or an answer is lost.
    pub lost: bool,
    /// A process dies.
    pub crash: bool,
    /// A process stands still until it goes on.
    pub stall: bool,
    /// The database is away, for one process or for both.
    pub away: bool,
    /// The server ends all sessions, and forgets its last commit or does not.
    pub failover: bool,
    /// The database's clock jumps.
    pub jump: bool,
    /// The database gives a transaction up.
    pub give_up: bool,
    /// A hot standby answers in the primary's place.
    pub standby: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    pub request: Request,
    pub mode: Mode,
    /// The service's `principal = …` yields nothing for it.
    pub is_nobody: bool,
}

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub rules: Rules,
    pub callers: [Asker; 3],
    pub faults: Faults,
    /// How many faults a history has at most.
    pub budget: u8,
    /// Duplicates wait for the outcome.
    pub wait: bool,
    /// Processes keep the outcomes that they have seen.
    pub cache: bool,
    /// States that differ in names alone are one. A path through such states is hard to read.
    pub merges_alike: bool,
}

pub const fn asks(request: Request, mode: Mode) -> Asker {
    Asker { request, mode, is_nobody: false }
}

impl Faults {
    pub const NONE: Self = Self {
        late: false,
        lost: false,
        crash: false,
        stall: false,
        away: false,
        failover: false,
        jump: false,
        give_up: false,
        standby: false,
    };
    pub const ALL: Self = Self {
        late: true,
        lost: true,
        crash: true,
        stall: true,
        away: true,
        failover: true,
        jump: true,
        give_up: true,
        standby: true,
    };
}

impl Scenario {
    pub const fn of(callers: [Asker; 3], faults: Faults, budget: u8) -> Self {
        Self { rules: Rules::ALL, callers, faults, budget, wait: false, cache: false, merges_alike: true }
    }
}
