//! Processes are alike, callers that ask the same are, and the places of runs are: of all states that differ in no more
//! than who is called what, one is explored.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::rules::Scenario;
use crate::state::{Caller, Claimed, Id, RUNS, State, Table};

impl Scenario {
    /// The one state that stands for all that are like this one.
    pub fn representative(&self, state: State) -> State {
        let mut swapped = state.clone();
        swapped.processes.swap(0, 1);
        for caller in &mut swapped.callers {
            if let Caller::Asking { at, .. } | Caller::Waiting { at } = caller {
                *at = 1 - *at;
            }
        }
        for run in &mut swapped.runs {
            // An unused place is at no process.
            if *run != crate::state::Run::UNUSED {
                run.at = 1 - run.at;
            }
        }
        let (one, other) = (self.sorted(state), self.sorted(swapped));
        if hash_of(&one) <= hash_of(&other) { one } else { other }
    }

    fn sorted(&self, mut s: State) -> State {
        let mut order: [usize; RUNS] = std::array::from_fn(|id| id);
        order.sort_by_cached_key(|id| {
            let run = s.runs[*id];
            hash_of(&(run.phase == crate::state::Phase::Unused, crate::state::Run { token: 0, ..run }, marks(&s, *id)))
        });
        let mut renamed = [0; RUNS];
        for (new, old) in order.iter().enumerate() {
            renamed[*old] = Id::try_from(new).unwrap_or_default();
        }
        let to = |id: Id| renamed.get(usize::from(id)).copied().unwrap_or(id);
        let runs = s.runs;
        for (new, old) in order.iter().enumerate() {
            s.runs[new] = runs[*old];
            if runs[*old] != crate::state::Run::UNUSED {
                s.runs[new].token = to(runs[*old].token);
            }
        }
        rename(&mut s.table, to);
        if let Some(before) = &mut s.before {
            rename(before, to);
        }
        s.lock = s.lock.map(to);
        for process in &mut s.processes {
            if let Some(cached) = &mut process.cached {
                cached.of = to(cached.of);
            }
            if let Some(shared) = &mut process.shared {
                shared.of = to(shared.of);
            }
        }
        for caller in &mut s.callers {
            if let Caller::Asking { statement, .. } = caller
                && let Some(Claimed::Reserved(id) | Claimed::Replay { of: id, .. }) = &mut statement.answer
            {
                *id = to(*id);
            }
        }
        let [first, second, third] = self.callers;
        if first == second && hash_of(&s.callers[0]) > hash_of(&s.callers[1]) {
            s.callers.swap(0, 1);
        }
        if second == third && hash_of(&s.callers[1]) > hash_of(&s.callers[2]) {
            s.callers.swap(1, 2);
        }
        s
    }
}

/// What points at a run.
fn marks(s: &State, id: usize) -> (bool, bool, bool) {
    let is = |other: Option<Id>| other.is_some_and(|other| usize::from(other) == id);
    (is(s.table.row.map(|row| row.token)), is(s.lock), is(s.before.and_then(|before| before.holder)))
}

fn rename(table: &mut Table, to: impl Fn(Id) -> Id) {
    if let Some(row) = &mut table.row {
        row.token = to(row.token);
        row.outcome = row.outcome.map(&to);
    }
    table.holder = table.holder.map(to);
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
