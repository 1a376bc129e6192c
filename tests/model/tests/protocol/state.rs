//! What there is: a row, two processes, three callers, and the runs.

use cratestack_runtime::testing::reference;

/// How long a lease and a retention last, in ticks.
pub const LEASE: u8 = 2;
pub const TTL: u8 = 4;
/// How far the database's clock jumps.
pub const JUMP: u8 = 2;
/// How many reservations are told apart at a time. A run leaves its place once nothing knows of it any more.
pub const RUNS: usize = 4;

/// A run, its token and its outcome are one number.
pub type Id = u8;
/// Ends are counted in ticks from now, so that no history is too long.
pub type Row = reference::Row<u8, Request, Id, Id>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    A,
    B,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    Leased,
    Transaction,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub table: Table,
    /// What the table was before the last commit, while one may be forgotten.
    pub before: Option<Table>,
    /// The transaction that has the key's lock.
    pub lock: Option<Id>,
    pub callers: [Caller; 3],
    pub processes: [Process; 2],
    pub runs: [Run; RUNS],
    pub faults_left: u8,
    /// The database's clock has jumped: its time is not that of processes any more.
    pub has_jumped: bool,
    /// Sessions were ended within this tick, which is the second that a cache may not know of it.
    pub sessions_just_ended: bool,
    /// The first promise that a step has broken.
    pub broken: Option<Broken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Table {
    pub row: Option<Row>,
    /// Whose reservation the row is, whatever its token says.
    pub holder: Option<Id>,
    /// Under which request an effect has happened since the key was last free.
    pub effect_of: Option<Request>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Asks whenever it likes, and as often.
    Idle,
    Asking {
        at: u8,
        statement: Statement<Claimed>,
    },
    Waiting {
        at: u8,
    },
}

/// One that takes its time: on its way to the database until it has an answer, and then on its way back. All others are
/// executed and answered in the step that sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Statement<A> {
    /// Since it was sent.
    pub age: u8,
    pub answer: Option<A>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claimed {
    Reserved(Id),
    Replay { of: Id, left: u8 },
    InFlight,
    Conflict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    Held,
    Lost,
    Undone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Process {
    pub is_stalled: bool,
    pub is_cut_off: bool,
    pub cached: Option<Cached>,
    /// What a waiter was told, for the others who wait.
    pub shared: Option<Shared>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cached {
    pub of: Id,
    pub request: Request,
    pub left: u8,
    /// Its session was seen alive within this tick.
    pub is_checked: bool,
    pub session_is_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shared {
    pub of: Id,
    pub left: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nobody's place.
    Unused,
    /// Reserved; its process does not know yet.
    Granted,
    /// The handler runs.
    Running,
    /// The effect has happened, and the outcome is to be written.
    Pending,
    /// The key is to be given back.
    Releasing,
    /// The commit is on its way.
    Committing,
    /// The answer to the commit is lost.
    InDoubt,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    pub phase: Phase,
    pub at: u8,
    pub request: Request,
    pub mode: Mode,
    pub token: Id,
    pub attempt: u8,
    /// Who asked, where that matters.
    pub by: u8,
    /// What its process knows to be left of its lease, and of its retention.
    pub lease_left: u8,
    pub ttl_left: u8,
    /// A renewal found the key taken over.
    pub is_lost: bool,
    pub renewal: Option<Statement<Told>>,
    /// Its finish, release or commit.
    pub ending: Option<Statement<Told>>,
    pub has_effect: bool,
    /// The database gave its transaction up.
    pub given_up: bool,
    /// Its caller was told that nothing has happened.
    pub told_nothing: bool,
    /// Its lease has ended by a fault while it lived, and was not renewed since.
    pub has_lapsed: bool,
    /// A fault that the guarantees name lets another run have an effect beside this one's.
    pub is_excused: bool,
    /// The retention that its effect counts in has ended.
    pub is_past: bool,
}

/// A promise, by what breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Broken {
    StaleWriter,
    Altered,
    Outlived,
    NotTheRecord,
    Stranger,
    HeldForNothing,
    RecordWithoutEffect,
    AnothersOutcome,
    HealthyLeaseEnded,
}

impl Run {
    pub const UNUSED: Self = Self {
        phase: Phase::Unused,
        at: 0,
        request: Request::A,
        mode: Mode::Leased,
        token: 0,
        attempt: 0,
        by: 0,
        lease_left: 0,
        ttl_left: 0,
        is_lost: false,
        renewal: None,
        ending: None,
        has_effect: false,
        given_up: false,
        told_nothing: false,
        has_lapsed: false,
        is_excused: false,
        is_past: false,
    };

    /// Its handler runs, or its outcome has yet to be written.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Pending | Phase::Committing)
    }

    pub fn needs_a_lease(&self) -> bool {
        self.mode == Mode::Leased && matches!(self.phase, Phase::Running | Phase::Pending) && !self.is_lost
    }

    /// Whether its effect is one of which there may be only one.
    pub fn counts(&self) -> bool {
        self.has_effect && !self.is_excused && !self.is_past
    }
}

impl<A> Statement<A> {
    pub const SENT: Self = Self { age: 0, answer: None };

    pub fn is_executed(&self) -> bool {
        self.answer.is_some()
    }

    pub fn tick(&mut self) {
        self.age = (self.age + 1).min(LEASE);
    }
}

impl State {
    pub fn initial(budget: u8) -> Self {
        Self {
            table: Table::default(),
            before: None,
            lock: None,
            callers: [Caller::Idle; 3],
            processes: [Process::default(); 2],
            runs: [Run::UNUSED; RUNS],
            faults_left: budget,
            has_jumped: false,
            sessions_just_ended: false,
            broken: None,
        }
    }

    pub fn run(&mut self, id: Id) -> &mut Run {
        &mut self.runs[usize::from(id)]
    }

    pub fn process(&mut self, at: u8) -> &mut Process {
        &mut self.processes[usize::from(at)]
    }

    pub fn ids() -> impl Iterator<Item = Id> {
        0..Id::try_from(RUNS).unwrap_or_default()
    }

    pub fn breaks(&mut self, promise: Broken) {
        self.broken.get_or_insert(promise);
    }

    /// A process that does what it should, when it should.
    pub fn is_healthy(&self, at: u8) -> bool {
        let process = &self.processes[usize::from(at)];
        !process.is_stalled && !process.is_cut_off
    }

    /// The outcome that the row holds, while it does.
    pub fn recorded(&self) -> Option<Id> {
        self.table.row.filter(|row| row.expires > 0).and_then(|row| row.outcome)
    }

    /// Gives places back of which nothing knows any more.
    pub fn tidy(&mut self) {
        for id in Self::ids() {
            let run = self.runs[usize::from(id)];
            if run.phase == Phase::Over && run.renewal.is_none() && run.ending.is_none() {
                // What its process knew is gone with it.
                *self.run(id) = Run {
                    phase: Phase::Over,
                    request: run.request,
                    token: run.token,
                    by: run.by,
                    has_effect: run.has_effect,
                    is_excused: run.is_excused,
                    is_past: run.is_past,
                    told_nothing: run.told_nothing && run.has_effect,
                    mode: run.mode,
                    ..Run::UNUSED
                };
                let is_told = run.told_nothing && run.has_effect;
                if !run.counts() && !is_told && !self.is_known(id) {
                    *self.run(id) = Run::UNUSED;
                }
            }
        }
    }

    fn is_known(&self, id: Id) -> bool {
        let in_table = |table: &Table| {
            let in_row = table.row.is_some_and(|row| row.token == id || row.outcome == Some(id));
            in_row || table.holder == Some(id)
        };
        let asked = |caller: &Caller| match caller {
            Caller::Asking { statement, .. } => {
                matches!(statement.answer, Some(Claimed::Reserved(of) | Claimed::Replay { of, .. }) if of == id)
            }
            _ => false,
        };
        let kept = |process: &Process| {
            process.cached.is_some_and(|cached| cached.of == id) || process.shared.is_some_and(|shared| shared.of == id)
        };
        in_table(&self.table)
            || self.before.as_ref().is_some_and(in_table)
            || self.callers.iter().any(asked)
            || self.processes.iter().any(kept)
    }
}
