//! What may happen next. Within a tick everything may happen in any order; time goes on once all that is not late has
//! been answered and every healthy process has done its duty: renewed a lease that is about to end, sent an outcome
//! again.

use stateright::{Model, Property};

use crate::action::{Action, Way};
use crate::properties;
use crate::rules::Scenario;
use crate::state::{Caller, Id, Mode, Phase, Run, State, Statement};

const PROCESSES: [u8; 2] = [0, 1];

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(self.budget)]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Action>) {
        for (caller, state) in (0_u8..).zip(s.callers) {
            match state {
                Caller::Idle => {
                    for at in PROCESSES {
                        self.sent(s, |way| Action::Ask { caller, at, way }, actions);
                    }
                }
                Caller::Waiting { .. } => {
                    actions.extend([Action::AskAgain { caller }, Action::TakeShared { caller }]);
                }
                Caller::Asking { at, statement } => {
                    let of_claim = [Action::ExecuteClaim { caller }, Action::DeliverClaim { caller }];
                    of_statement(s, at, &statement, of_claim, actions);
                }
            }
        }
        for run in State::ids() {
            self.of_run(s, run, actions);
        }
        if s.table.row.is_some_and(|row| row.has_expired(0)) {
            actions.push(Action::Sweep);
        }
        if may_tick(s) {
            actions.push(Action::Tick);
        }
        for at in PROCESSES {
            let process = s.processes[usize::from(at)];
            if process.is_stalled {
                actions.push(Action::Wake { at });
            }
            if process.is_cut_off {
                actions.push(Action::Reconnect { at });
            }
        }
        if s.faults_left > 0 {
            self.faults(s, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let next = self.after(last, action)?;
        Some(if self.merges_alike { self.representative(next) } else { next })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}

impl Scenario {
    fn after(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.apply(&mut next, action)?;
        if action.is_fault() {
            next.faults_left -= 1;
        }
        next.tidy();
        for at in PROCESSES {
            let waits = next.callers.contains(&Caller::Waiting { at });
            let process = next.process(at);
            process.shared = process.shared.filter(|_| waits);
            process.cached = process.cached.filter(|cached| cached.left > 0);
        }
        if next.faults_left == 0 {
            next.before = None;
        }
        Some(next).filter(|next| next != last)
    }

    /// The ways that a statement may go.
    fn sent(&self, s: &State, action: impl Fn(Way) -> Action, actions: &mut Vec<Action>) {
        actions.push(action(Way::Prompt));
        if s.faults_left > 0 && self.faults.late {
            actions.push(action(Way::Late));
        }
        if s.faults_left > 0 && self.faults.lost {
            actions.extend([action(Way::AnswerLost), action(Way::RequestLost)]);
        }
    }

    fn of_run(&self, s: &State, id: Id, actions: &mut Vec<Action>) {
        let run = &s.runs[usize::from(id)];
        let process = s.processes[usize::from(run.at)];
        if let Some(renewal) = &run.renewal {
            let of_renewal = [Action::ExecuteRenewal { run: id }, Action::DeliverRenewal { run: id }];
            of_statement(s, run.at, renewal, of_renewal, actions);
        }
        if let Some(ending) = &run.ending {
            let of_ending = [Action::ExecuteEnding { run: id }, Action::DeliverEnding { run: id }];
            of_statement(s, run.at, ending, of_ending, actions);
        }
        if process.is_stalled {
            return;
        }
        if run.phase == Phase::Running {
            actions.extend([Action::Complete { run: id }, Action::Panic { run: id }]);
            if self.faults.give_up && s.faults_left > 0 && run.mode == Mode::Transaction && !run.given_up {
                actions.push(Action::GiveUp { run: id });
            }
        }
        if process.is_cut_off {
            return;
        }
        if run.needs_a_lease() && run.renewal.is_none() && run.lease_left <= 1 {
            self.sent(s, |way| Action::Renew { run: id, way }, actions);
        }
        if must_end(run) {
            self.sent(s, |way| Action::End { run: id, way }, actions);
        }
        if run.phase == Phase::Committing && run.ending.is_some() {
            actions.push(Action::GiveUpWaiting { run: id });
        }
        if run.phase == Phase::InDoubt {
            actions.push(Action::FindOut { run: id });
            if self.faults.standby && s.faults_left > 0 {
                actions.push(Action::AskStandby { run: id });
            }
        }
    }

    fn faults(&self, s: &State, actions: &mut Vec<Action>) {
        for at in PROCESSES {
            let process = s.processes[usize::from(at)];
            if self.faults.crash {
                actions.push(Action::Crash { at });
            }
            if self.faults.stall && !process.is_stalled {
                actions.push(Action::Stall { at });
            }
            if self.faults.away && !process.is_cut_off {
                actions.push(Action::CutOff { at });
            }
        }
        if self.faults.away {
            actions.push(Action::DatabaseAway);
        }
        if self.faults.failover {
            actions.extend([Action::FailOver { forgets: false }, Action::FailOver { forgets: true }]);
        }
        if self.faults.jump && s.table.row.is_some() {
            actions.extend([Action::Jump { forward: true }, Action::Jump { forward: false }]);
        }
    }

    fn apply(&self, s: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Ask { caller, at, way } => self.asks(s, usize::from(caller), at, way)?,
            Action::AskAgain { caller } => {
                let Caller::Waiting { at } = s.callers[usize::from(caller)] else { return None };
                self.asks(s, usize::from(caller), at, Way::Prompt)?;
            }
            Action::TakeShared { caller } => {
                let caller = usize::from(caller);
                self.take_shared(s, caller)?;
                if matches!(s.callers[caller], Caller::Asking { .. }) {
                    self.execute_claim(s, caller)?;
                    self.deliver_claim(s, caller)?;
                }
            }
            Action::ExecuteClaim { caller } => self.execute_claim(s, usize::from(caller))?,
            Action::DeliverClaim { caller } => self.deliver_claim(s, usize::from(caller))?,
            Action::Complete { run } => self.complete(s, run)?,
            Action::Panic { run } => Self::panic(s, run)?,
            Action::Renew { run, way } => {
                s.run(run).renewal = Some(Statement::SENT);
                match way {
                    Way::Late => {}
                    Way::Prompt => {
                        self.execute_renewal(s, run)?;
                        Self::deliver_renewal(s, run)?;
                    }
                    Way::AnswerLost => {
                        self.execute_renewal(s, run)?;
                        s.run(run).renewal = None;
                    }
                    // It is sent again at once.
                    Way::RequestLost => return None,
                }
            }
            Action::End { run, way } => {
                s.run(run).ending = Some(Statement::SENT);
                match way {
                    Way::Late => {}
                    Way::Prompt => {
                        self.execute_ending(s, run)?;
                        self.deliver_ending(s, run)?;
                    }
                    Way::AnswerLost => {
                        self.execute_ending(s, run)?;
                        Self::lose_ending(s, run);
                    }
                    Way::RequestLost => Self::lose_ending(s, run),
                }
            }
            Action::ExecuteRenewal { run } => self.execute_renewal(s, run)?,
            Action::DeliverRenewal { run } => Self::deliver_renewal(s, run)?,
            Action::ExecuteEnding { run } => self.execute_ending(s, run)?,
            Action::DeliverEnding { run } => self.deliver_ending(s, run)?,
            Action::GiveUpWaiting { run } => {
                let run = s.run(run);
                run.phase = Phase::InDoubt;
                run.ending = run.ending.filter(|ending| !ending.is_executed());
            }
            Action::FindOut { run } => Self::find_out(s, run)?,
            Action::Sweep => Self::sweep(s),
            Action::Tick => Self::tick(s),
            Action::Wake { at } => s.process(at).is_stalled = false,
            Action::Reconnect { at } => s.process(at).is_cut_off = false,
            Action::Crash { at } => Self::crash(s, at),
            Action::Stall { at } => s.process(at).is_stalled = true,
            Action::CutOff { at } => s.process(at).is_cut_off = true,
            Action::DatabaseAway => {
                for at in PROCESSES {
                    s.process(at).is_cut_off = true;
                }
            }
            Action::FailOver { forgets } => Self::fail_over(s, forgets)?,
            Action::Jump { forward } => Self::jump(s, forward),
            Action::GiveUp { run } => s.run(run).given_up = true,
            Action::AskStandby { run } => self.ask_standby(s, run),
        }
        Some(())
    }

    fn asks(&self, s: &mut State, caller: usize, at: u8, way: Way) -> Option<()> {
        self.ask(s, caller, at)?;
        if !matches!(s.callers[caller], Caller::Asking { .. }) {
            return Some(()).filter(|()| way == Way::Prompt);
        }
        match way {
            Way::Late => {}
            Way::Prompt => {
                self.execute_claim(s, caller)?;
                self.deliver_claim(s, caller)?;
            }
            Way::AnswerLost => {
                self.execute_claim(s, caller)?;
                Self::lose_claim(s, caller);
            }
            // It is as if nobody had asked.
            Way::RequestLost => return None,
        }
        Some(())
    }

    /// Without another fault or request, and with the database there, everything ends and the key is free.
    pub fn comes_free(&self, s: &State) -> bool {
        let mut s = s.clone();
        for caller in &mut s.callers {
            if matches!(caller, Caller::Waiting { .. }) {
                *caller = Caller::Idle;
            }
        }
        s.faults_left = 0;
        let mut actions = Vec::new();
        for _ in 0..100 {
            actions.clear();
            self.actions(&s, &mut actions);
            let to_do = |action: &&Action| {
                !matches!(
                    action,
                    Action::Ask { .. } | Action::Panic { .. } | Action::GiveUpWaiting { .. } | Action::Tick
                )
            };
            let next = actions.iter().filter(to_do).find_map(|action| self.after(&s, *action));
            if let Some(next) = next {
                s = next;
            } else if s.table.row.is_none() {
                return s.lock.is_none() && s.callers == [Caller::Idle; 3] && !s.runs.iter().any(Run::is_live);
            } else if let Some(next) = actions.contains(&Action::Tick).then(|| self.after(&s, Action::Tick)) {
                let Some(next) = next else { return false };
                s = next;
            } else {
                return false;
            }
        }
        false
    }
}

fn of_statement<A>(
    s: &State,
    at: u8,
    statement: &Statement<A>,
    [execute, deliver]: [Action; 2],
    actions: &mut Vec<Action>,
) {
    let process = s.processes[usize::from(at)];
    if !process.is_cut_off {
        if !statement.is_executed() {
            actions.push(execute);
        } else if !process.is_stalled {
            actions.push(deliver);
        }
    }
}

fn must_end(run: &Run) -> bool {
    matches!(run.phase, Phase::Pending | Phase::Releasing | Phase::Committing) && run.ending.is_none()
}

/// Time waits for healthy processes to do their duty, and not for what is late.
fn may_tick(s: &State) -> bool {
    let has_a_duty = |run: &Run| {
        let must_renew = run.needs_a_lease() && run.renewal.is_none() && run.lease_left <= 1;
        s.is_healthy(run.at) && (must_renew || must_end(run))
    };
    !s.runs.iter().any(has_a_duty)
}
