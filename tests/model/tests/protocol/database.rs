//! The database: one row, the lock of a transaction, a clock, and sessions that end. Every answer about the row is
//! [`step`]'s; what a mend changes is what it is asked.

use cratestack_runtime::testing::reference::{Answer, Call, step};

use crate::rules::Scenario;
use crate::state::{Broken, Caller, Claimed, Id, JUMP, LEASE, Mode, Phase, Row, Run, State, TTL, Table, Told};

const NOW: u8 = 0;

impl Scenario {
    /// A caller's statement is executed. `None` where there is no place for one more run.
    pub fn execute_claim(&self, s: &mut State, caller: usize) -> Option<()> {
        let Caller::Asking { at, mut statement } = s.callers[caller] else { return None };
        let asker = self.callers[caller];
        let free = State::ids().find(|id| s.runs[usize::from(*id)].phase == Phase::Unused);
        let mut row = s.table.row;
        if let Some(row) = row.as_mut().filter(|row| !row.is_leased(NOW) && row.outcome.is_none())
            && !self.rules.dead_rows_belong
        {
            row.hash = asker.request;
        }
        let new = free.unwrap_or(Id::MAX);
        let kept = row.filter(|row| !self.rules.tokens_rotate && !row.has_expired(NOW)).map(|row| row.token);
        let token = kept.unwrap_or(new);
        let hash = asker.request;
        let call = match asker.mode {
            Mode::Leased => Call::Reserve { hash, token, lease_ends: LEASE, expires: TTL },
            Mode::Transaction => Call::Look { hash },
        };
        let (row, told) = step(row, call, NOW);
        statement.answer = Some(match told {
            Answer::Free { .. } if s.lock.is_some() => Claimed::InFlight,
            Answer::Reserved { attempt } | Answer::Free { attempt } => {
                let id = free?;
                let attempt = u8::try_from(attempt.min(2)).unwrap_or(2);
                let by = if self.callers.iter().any(|asker| asker.is_nobody) { u8::try_from(caller).ok()? } else { 0 };
                let granted =
                    Run { phase: Phase::Granted, at, request: hash, mode: asker.mode, token, by, ..Run::UNUSED };
                *s.run(id) = match asker.mode {
                    Mode::Leased => granted,
                    Mode::Transaction => Run { ttl_left: TTL, attempt, ..granted },
                };
                match asker.mode {
                    Mode::Leased => self.write(s, id, row),
                    Mode::Transaction => s.lock = Some(id),
                }
                Claimed::Reserved(id)
            }
            Answer::Replay(of) => {
                if asker.is_nobody && usize::from(s.run(of).by) != caller {
                    s.breaks(Broken::AnothersOutcome);
                }
                Claimed::Replay { of, left: s.table.row.map_or(0, |row| row.expires) }
            }
            Answer::Conflict => Claimed::Conflict,
            _ => Claimed::InFlight,
        });
        s.callers[caller] = Caller::Asking { at, statement };
        Some(())
    }

    pub fn execute_renewal(&self, s: &mut State, id: Id) -> Option<()> {
        let run = *s.run(id);
        let mut renewal = run.renewal.filter(|renewal| !renewal.is_executed())?;
        let since = if self.rules.leases_count_from_the_write { 0 } else { renewal.age };
        let (lease_ends, expires) = (LEASE - since, run.ttl_left.max(LEASE));
        let (row, told) = step(s.table.row, Call::Renew { token: run.token, lease_ends, expires }, NOW);
        renewal.answer = Some(if told == Answer::Held {
            if row.is_some_and(|row| !row.is_leased(NOW)) {
                s.breaks(Broken::HeldForNothing);
            }
            self.write(s, id, row);
            s.run(id).has_lapsed = false;
            Told::Held
        } else {
            Told::Lost
        });
        s.run(id).renewal = Some(renewal);
        Some(())
    }

    /// A finish, a release or a commit is executed.
    pub fn execute_ending(&self, s: &mut State, id: Id) -> Option<()> {
        let run = *s.run(id);
        let mut ending = run.ending.filter(|ending| !ending.is_executed())?;
        let token = run.token;
        let told = match run.phase {
            Phase::Pending => {
                let (row, told) = step(s.table.row, Call::Finish { token, outcome: id }, NOW);
                self.write(s, id, row);
                if told == Answer::Held { Told::Held } else { Told::Lost }
            }
            Phase::Releasing => {
                let (mut row, _) = step(s.table.row, Call::Release { token }, NOW);
                if !self.rules.released_takeovers_stay {
                    row = row.filter(|row| row.token != token || row.outcome.is_some());
                }
                self.write(s, id, row);
                Told::Lost
            }
            _ => self.commit(s, id),
        };
        ending.answer = Some(told);
        s.run(id).ending = Some(ending).filter(|_| run.phase != Phase::InDoubt);
        Some(())
    }

    fn commit(&self, s: &mut State, id: Id) -> Told {
        let run = *s.run(id);
        if s.lock != Some(id) {
            return Told::Undone;
        }
        s.lock = None;
        let row = s.table.row.filter(|_| self.rules.records_give_way);
        let (attempt, expires) = (u32::from(run.attempt), run.ttl_left);
        let call = Call::Record { hash: run.request, token: run.token, attempt, outcome: id, expires };
        let (row, told) = step(row, call, NOW);
        if told != Answer::Held {
            return Told::Undone;
        }
        self.write(s, id, row);
        // A commit that took longer than the retention is as one that came after it.
        s.run(id).is_past |= expires == NOW;
        if run.given_up {
            s.breaks(Broken::RecordWithoutEffect);
        } else {
            s.has_effect(id);
        }
        Told::Held
    }

    /// What run `id` makes of the row is in the table, and the next to be forgotten.
    fn write(&self, s: &mut State, id: Id, row: Option<Row>) {
        let old = s.table;
        if row == old.row {
            return;
        }
        let kept = old.row.filter(|row| !row.has_expired(NOW));
        let reserved = |row: Row| (row.token, row.attempt);
        let is_new = row.is_some() && (row.map(reserved) != old.row.map(reserved) || s.run(id).phase == Phase::Granted);
        if is_new {
            // A live run that is taken over while its lease is over by a fault: from here on another effect is excused.
            if let Some(holder) = old.holder.filter(|_| kept.is_some_and(|row| row.outcome.is_none())) {
                let holder = s.run(holder);
                holder.is_excused |= holder.has_lapsed;
            }
        } else if old.holder != Some(id) {
            s.breaks(Broken::StaleWriter);
        }
        let outcome = kept.and_then(|row| row.outcome);
        if outcome.is_some() && outcome != row.and_then(|row| row.outcome) {
            s.breaks(Broken::Altered);
        }
        s.before = Some(old).filter(|_| self.faults.failover);
        s.table = Table {
            // How many takeovers there were matters no more than that there were some.
            row: row.map(|row| Row { attempt: row.attempt.min(2), ..row }),
            holder: if is_new { Some(id) } else { old.holder.filter(|_| row.is_some()) },
            effect_of: old
                .effect_of
                .filter(|_| (kept.is_some() && row.is_some()) || !self.rules.released_takeovers_stay),
        };
    }

    pub fn sweep(s: &mut State) {
        s.table.row = step(s.table.row, Call::Sweep, NOW).0;
        if s.table.row.is_none() {
            s.table = Table::default();
        }
    }

    /// Everything grows a tick older.
    pub fn tick(s: &mut State) {
        let less = |left: &mut u8| *left = left.saturating_sub(1);
        for caller in &mut s.callers {
            if let Caller::Asking { statement, .. } = caller {
                statement.tick();
                if let Some(Claimed::Replay { left, .. }) = &mut statement.answer {
                    less(left);
                }
            }
        }
        for run in &mut s.runs {
            less(&mut run.lease_left);
            less(&mut run.ttl_left);
            for statement in [&mut run.renewal, &mut run.ending].into_iter().flatten() {
                statement.tick();
            }
        }
        for process in &mut s.processes {
            if let Some(cached) = &mut process.cached {
                less(&mut cached.left);
                cached.is_checked = false;
            }
            if let Some(shared) = &mut process.shared {
                less(&mut shared.left);
            }
        }
        s.sessions_just_ended = false;
        s.set_clock(|left| left.saturating_sub(1), false);
    }

    pub fn jump(s: &mut State, forward: bool) {
        s.has_jumped = true;
        if forward {
            s.set_clock(|left| left.saturating_sub(JUMP), true);
        } else {
            s.set_clock(|left| (left + JUMP).min(TTL + JUMP), false);
        }
    }

    /// All sessions end, and with them what is under way. `forgets` the last commit: durability was asynchronous.
    pub fn fail_over(s: &mut State, forgets: bool) -> Option<()> {
        if forgets {
            let before = s.before?;
            let forgotten = s.table.row.and_then(|row| row.outcome).or(s.table.holder);
            if let Some(id) = forgotten {
                let is_record = s.table.row.is_some_and(|row| row.outcome == Some(id));
                let run = s.run(id);
                run.is_excused = true;
                // What a transaction did is forgotten with its record.
                run.has_effect &= run.mode == Mode::Leased || !is_record;
            }
            s.table = before;
        }
        s.before = None;
        s.lock = None;
        s.sessions_just_ended = true;
        for caller in &mut s.callers {
            if matches!(caller, Caller::Asking { .. }) {
                *caller = Caller::Idle;
            }
        }
        for run in &mut s.runs {
            run.renewal = None;
            run.ending = None;
            run.phase = match (run.phase, run.mode) {
                (Phase::Granted, _) | (Phase::Running, Mode::Transaction) => Phase::Over,
                (Phase::Committing, _) => Phase::InDoubt,
                (phase, _) => phase,
            };
        }
        for cached in s.processes.iter_mut().filter_map(|process| process.cached.as_mut()) {
            cached.session_is_over = true;
        }
        Some(())
    }
}

impl State {
    /// The effect of a run happens.
    pub fn has_effect(&mut self, id: Id) {
        self.run(id).has_effect = true;
        let run = *self.run(id);
        if !run.is_excused && !run.is_past && self.table.effect_of.is_some_and(|request| request != run.request) {
            self.breaks(Broken::Stranger);
        }
        for table in std::iter::once(&mut self.table).chain(self.before.as_mut()) {
            if table.row.is_some_and(|row| row.token == run.token && !row.has_expired(NOW)) {
                table.effect_of = Some(run.request);
            }
        }
    }

    fn set_clock(&mut self, left: impl Fn(u8) -> u8, by_a_jump: bool) {
        let set = |row: Row| Row { lease_ends: left(row.lease_ends), expires: left(row.expires), ..row };
        if let Some(before) = &mut self.before {
            before.row = before.row.map(set);
        }
        let Some(old) = self.table.row else { return };
        let row = set(old);
        self.table.row = Some(row);
        if old.is_leased(NOW)
            && !row.is_leased(NOW)
            && let Some(id) = self.table.holder
        {
            self.lapse(id, by_a_jump);
        }
        if !old.has_expired(NOW) && row.has_expired(NOW) {
            self.table.effect_of = None;
            for run in &mut self.runs {
                run.is_past |= run.phase != Phase::Unused && (run.has_effect || run.token == row.token);
            }
        }
    }

    /// The lease of a run has ended. Without a fault that cannot be while it lives.
    fn lapse(&mut self, id: Id, by_a_jump: bool) {
        let run = *self.run(id);
        let is_late = run.renewal.is_some();
        if by_a_jump && matches!(run.phase, Phase::Granted | Phase::Running | Phase::Pending) {
            self.run(id).has_lapsed = true;
        } else if run.needs_a_lease() {
            if is_late || !self.is_healthy(run.at) || self.has_jumped || run.is_excused {
                self.run(id).has_lapsed = true;
            } else {
                self.breaks(Broken::HealthyLeaseEnded);
            }
        }
    }
}
