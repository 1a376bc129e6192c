//! A process: what it answers by itself, when it asks the database, and what it makes of the answers.

use crate::rules::Scenario;
use crate::state::{
    Broken, Cached, Caller, Claimed, Id, LEASE, Mode, Phase, Process, Shared, State, Statement, TTL, Told,
};

impl Scenario {
    /// A request comes in, or one that waits asks again.
    pub fn ask(&self, s: &mut State, caller: usize, at: u8) -> Option<()> {
        let asker = self.callers[caller];
        let process = *s.process(at);
        if process.is_stalled || (asker.is_nobody && self.rules.nobody_is_refused) {
            return None;
        }
        if let Some(cached) = process.cached.filter(|cached| cached.left > 0) {
            let is_tied = self.rules.cache_is_tied && !cached.is_checked;
            if is_tied && process.is_cut_off {
                return None;
            }
            if is_tied && cached.session_is_over {
                s.process(at).cached = None;
            } else {
                s.process(at).cached = Some(Cached { is_checked: cached.is_checked || is_tied, ..cached });
                if cached.request == asker.request {
                    s.replays(cached.of, true);
                }
                s.callers[caller] = Caller::Idle;
                return Some(());
            }
        }
        if let Some(own) = self.own_run(s, at) {
            let waits = self.wait && s.run(own).phase != Phase::Pending && s.run(own).request == asker.request;
            s.callers[caller] = if waits { Caller::Waiting { at } } else { Caller::Idle };
            return Some(());
        }
        if process.shared.is_some_and(|shared| s.run(shared.of).request == asker.request)
            && s.callers[caller] == Caller::Idle
        {
            s.callers[caller] = Caller::Waiting { at };
            return Some(());
        }
        if process.is_cut_off {
            return None;
        }
        s.callers[caller] = Caller::Asking { at, statement: Statement::SENT };
        Some(())
    }

    /// The run by which a process answers for the key without the database.
    fn own_run(&self, s: &State, at: u8) -> Option<Id> {
        State::ids().find(|id| {
            let run = s.runs[usize::from(*id)];
            run.at == at
                && match run.phase {
                    Phase::Pending => self.rules.pending_outcomes_answer,
                    Phase::Running | Phase::Committing | Phase::InDoubt => self.rules.runs_are_registered,
                    _ => false,
                }
        })
    }

    pub fn deliver_claim(&self, s: &mut State, caller: usize) -> Option<()> {
        let Caller::Asking { at, statement } = s.callers[caller] else { return None };
        let claimed = statement.answer?;
        s.callers[caller] = Caller::Idle;
        match claimed {
            Claimed::Reserved(id) => {
                let is_beside = self.own_run(s, at).is_some();
                let is_late = statement.age >= LEASE && self.rules.late_reservations_are_not_run;
                let run = s.run(id);
                match run.mode {
                    Mode::Leased if is_beside || is_late => run.phase = Phase::Releasing,
                    Mode::Leased => {
                        run.phase = Phase::Running;
                        run.lease_left = LEASE - statement.age;
                        run.ttl_left = TTL - statement.age;
                    }
                    Mode::Transaction if is_beside => s.ends(id),
                    Mode::Transaction => run.phase = Phase::Running,
                }
            }
            Claimed::Replay { of, left } => {
                let request = self.callers[caller].request;
                self.keep(s, at, Cached { of, request, left, is_checked: statement.age == 0, session_is_over: false });
                if s.callers.contains(&Caller::Waiting { at }) {
                    s.process(at).shared = Some(Shared { of, left });
                }
            }
            Claimed::InFlight if self.wait => s.callers[caller] = Caller::Waiting { at },
            Claimed::InFlight | Claimed::Conflict => {}
        }
        Some(())
    }

    fn keep(&self, s: &mut State, at: u8, cached: Cached) {
        if self.cache && cached.left > 0 {
            s.process(at).cached = Some(cached);
        }
    }

    /// One that waits takes what another was told.
    pub fn take_shared(&self, s: &mut State, caller: usize) -> Option<()> {
        let Caller::Waiting { at } = s.callers[caller] else { return None };
        let shared = s.process(at).shared?;
        if shared.left == 0 && self.rules.waiters_mind_the_ttl {
            s.process(at).shared = None;
            return self.ask(s, caller, at);
        }
        if s.run(shared.of).request == self.callers[caller].request {
            s.replays(shared.of, false);
            s.callers[caller] = Caller::Idle;
            return Some(());
        }
        None
    }

    /// The handler has done its work.
    pub fn complete(&self, s: &mut State, id: Id) -> Option<()> {
        let run = *s.run(id);
        let is_cut_off = s.process(run.at).is_cut_off;
        match run.mode {
            Mode::Leased => {
                s.has_effect(id);
                s.run(id).phase = Phase::Pending;
            }
            Mode::Transaction if is_cut_off => return None,
            // Past its deadline, which is its lease.
            Mode::Transaction if TTL - run.ttl_left >= LEASE => s.ends(id),
            Mode::Transaction if run.given_up && self.rules.given_up_is_undone => s.ends(id),
            Mode::Transaction => s.run(id).phase = Phase::Committing,
        }
        Some(())
    }

    /// The handler panics before its effect, or says that nothing happened.
    pub fn panic(s: &mut State, id: Id) -> Option<()> {
        let run = *s.run(id);
        let is_cut_off = s.process(run.at).is_cut_off;
        match run.mode {
            Mode::Leased => s.run(id).phase = Phase::Releasing,
            Mode::Transaction if is_cut_off => return None,
            Mode::Transaction => s.ends(id),
        }
        Some(())
    }

    pub fn deliver_renewal(s: &mut State, id: Id) -> Option<()> {
        let run = s.run(id);
        let renewal = run.renewal.filter(Statement::is_executed)?;
        run.renewal = None;
        match renewal.answer {
            Some(Told::Held) => run.lease_left = run.lease_left.max(LEASE - renewal.age),
            _ => run.is_lost = true,
        }
        Some(())
    }

    pub fn deliver_ending(&self, s: &mut State, id: Id) -> Option<()> {
        let run = *s.run(id);
        let ending = run.ending.filter(Statement::is_executed)?;
        if ending.answer == Some(Told::Held) {
            let (request, left) = (run.request, run.ttl_left);
            let cached = Cached { of: id, request, left, is_checked: ending.age == 0, session_is_over: false };
            self.keep(s, run.at, cached);
        }
        s.ends(id);
        Some(())
    }

    /// What became of a commit whose answer is lost. Who asks for longer than `store_timeout` is told that nobody
    /// knows.
    ///
    /// A clock that jumps past the retention in between makes nothing of a record, which the guarantees say.
    pub fn find_out(s: &mut State, id: Id) -> Option<()> {
        if s.lock == Some(id) {
            return None;
        }
        let is_hidden = s.table.row.is_none_or(|row| row.outcome != Some(id)) && !s.has_jumped;
        let run = s.run(id);
        run.told_nothing |= is_hidden && run.ttl_left > 0;
        run.phase = Phase::Over;
        Some(())
    }

    /// A hot standby says "nothing there".
    pub fn ask_standby(&self, s: &mut State, id: Id) {
        s.run(id).told_nothing |= !self.rules.standbys_know_nothing;
    }

    /// A message is lost, one way or the other, and its sender is told an error.
    pub fn lose_claim(s: &mut State, caller: usize) {
        if let Caller::Asking { statement, .. } = s.callers[caller]
            && let Some(Claimed::Reserved(id)) = statement.answer
        {
            s.ends(id);
        }
        s.callers[caller] = Caller::Idle;
    }

    pub fn lose_ending(s: &mut State, id: Id) {
        let run = s.run(id);
        let lost = run.ending.take();
        if run.phase == Phase::Committing {
            run.phase = Phase::InDoubt;
            if lost.is_some_and(|ending| !ending.is_executed()) && s.lock == Some(id) {
                s.lock = None;
            }
        }
    }

    pub fn crash(s: &mut State, at: u8) {
        for caller in 0..s.callers.len() {
            match s.callers[caller] {
                Caller::Asking { at: here, .. } if here == at => Self::lose_claim(s, caller),
                Caller::Waiting { at: here } if here == at => s.callers[caller] = Caller::Idle,
                _ => {}
            }
        }
        for id in State::ids() {
            let run = *s.run(id);
            if run.at == at && !matches!(run.phase, Phase::Unused | Phase::Over) {
                let is_recorded = s.table.row.is_some_and(|row| row.outcome == Some(id));
                s.run(id).is_excused |= run.mode == Mode::Leased && !is_recorded;
                s.ends(id);
            }
        }
        *s.process(at) = Process::default();
    }
}

impl State {
    /// A run is over. If it is a transaction's, nothing of it stays that was not committed.
    pub fn ends(&mut self, id: Id) {
        self.lock = self.lock.filter(|holder| *holder != id);
        let run = self.run(id);
        run.phase = Phase::Over;
        run.ending = None;
        run.renewal = None;
    }

    /// A process replays what it has at hand.
    fn replays(&mut self, of: Id, is_cached: bool) {
        let may_not_know = self.has_jumped || (is_cached && self.sessions_just_ended);
        if self.recorded() == Some(of) || may_not_know {
            return;
        }
        let is_past = self.run(of).is_past;
        self.breaks(if is_past { Broken::Outlived } else { Broken::NotTheRecord });
    }
}
