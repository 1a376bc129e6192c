//! What the harness says while it runs, and at its end.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use crate::{
    check::{Found, Wrong},
    clients::Told,
    plan::{Fault, Round},
};

/// So many are shown in full.
const SHOWN: usize = 3;

pub struct Report {
    seed: u64,
    rounds: u64,
    started: Instant,
    shown: Instant,
    done: u64,
    faults: BTreeMap<&'static str, u64>,
    brief: u64,
    away: Duration,
    pub transactions: Tally,
    pub charges: Tally,
    found: Found,
    wrong: BTreeMap<Wrong, u64>,
    /// From the end of an outage until an outcome that had waited for it was written.
    late: Vec<Duration>,
    /// From the end of the outage until a client was put off for the last time, one for each key of which some was.
    put_off: Vec<Duration>,
}

/// Requests of one mode.
#[derive(Default)]
pub struct Tally {
    pub keys: u64,
    sent: u64,
    in_flight: u64,
    unavailable: u64,
    hung_up: u64,
    cut_off: u64,
    pub refused: u64,
}

impl Tally {
    pub fn add(&mut self, told: &Told) {
        self.sent += told.sent;
        self.in_flight += told.in_flight;
        self.unavailable += told.unavailable;
        self.hung_up += told.hung_up;
        self.cut_off += told.cut_off;
    }
}

impl Report {
    pub fn new(seed: u64, rounds: u64) -> Self {
        println!("outages: {rounds} rounds, SEED={seed}");
        Self {
            seed,
            rounds,
            started: Instant::now(),
            shown: Instant::now(),
            done: 0,
            faults: BTreeMap::new(),
            brief: 0,
            away: Duration::ZERO,
            transactions: Tally::default(),
            charges: Tally::default(),
            found: Found::default(),
            wrong: BTreeMap::new(),
            late: Vec::new(),
            put_off: Vec::new(),
        }
    }

    pub fn tally(&mut self, is_transaction: bool) -> &mut Tally {
        if is_transaction { &mut self.transactions } else { &mut self.charges }
    }

    pub fn found(&mut self, found: &Found) {
        self.found.taken_over += found.taken_over;
        self.found.taken_back += found.taken_back;
        self.found.told_of_another_run += found.told_of_another_run;
    }

    pub fn wrong(&mut self, round: &Round, away: Duration, wrong: Wrong, what: &str) {
        let shown = self.wrong.values().sum::<u64>() < SHOWN as u64;
        *self.wrong.entry(wrong).or_default() += 1;
        let Round { number, fault, lease, store_timeout, processes, .. } = round;
        println!(
            "SEED={}, round {number}: {wrong:?} ({fault:?} for {away:.1?}, lease {lease:.1?}, store_timeout \
             {store_timeout:.1?}, processes: {processes})",
            self.seed
        );
        if shown {
            println!("{what}");
        }
    }

    pub fn is_put_off(&mut self, after: Duration) {
        self.put_off.push(after);
    }

    /// A round has ended; the outcomes that had waited for the end of its outage were written this long after it.
    pub fn round(&mut self, round: &Round, away: Duration, was_brief: bool, late: Vec<Duration>) {
        let fault = match round.fault {
            Fault::Pause => "way paused",
            Fault::Cut => "way cut",
            Fault::BlackHole => "way a black hole",
            Fault::Freeze => "server frozen",
            Fault::Restart => "server stopped",
        };
        *self.faults.entry(fault).or_default() += 1;
        self.done += 1;
        self.brief += u64::from(was_brief);
        self.away += away;
        self.late.extend(late);
        if self.shown.elapsed() > Duration::from_secs(10) {
            self.shown = Instant::now();
            println!("outages: {} of {} rounds, {:.0?}", self.done, self.rounds, self.started.elapsed());
        }
    }

    pub fn is_all_right(&self) -> bool {
        self.wrong.is_empty() && self.done == self.rounds
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, sent, in_flight, unavailable, hung_up, cut_off, refused } = self;
        write!(
            f,
            "{keys} keys, {sent} requests: {in_flight} were told 409, {unavailable} 503, {hung_up} hung up, {cut_off} were cut off; \
             {refused} of another amount were refused"
        )
    }
}

/// How many, their mean and the longest.
struct Times<'a>(&'a [Duration]);

impl fmt::Display for Times<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX).max(1);
        let (mean, longest) =
            (self.0.iter().sum::<Duration>() / count, self.0.iter().max().copied().unwrap_or_default());
        write!(f, "{}, on average {mean:.1?}, at most {longest:.1?}", self.0.len())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |wrong| self.wrong.get(&wrong).copied().unwrap_or_default();
        let Found { taken_over, taken_back, told_of_another_run } = self.found;
        let faults: Vec<_> = self.faults.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
        writeln!(f, "outages: SEED={}, {} rounds, {:.0?}", self.seed, self.done, self.started.elapsed())?;
        writeln!(
            f,
            "  {}; {:.0?} away in all, {} of the outages far shorter than the lease",
            faults.join(", "),
            self.away,
            self.brief
        )?;
        writeln!(f, "  in a transaction: {}", self.transactions)?;
        writeln!(f, "    doubled {}, lost {}", count(Wrong::Doubled), count(Wrong::Lost))?;
        writeln!(f, "  beside a reservation: {}", self.charges)?;
        writeln!(
            f,
            "    run again after an outage that outlasted the lease: {taken_over} by another process, {taken_back} by the same \
             one after another had the key; {told_of_another_run} told of a run that is not the recorded one"
        )?;
        writeln!(
            f,
            "    run again in the only process {}, beside itself {}, after a brief outage {}",
            count(Wrong::AgainInTheOnlyProcess),
            count(Wrong::BesideItself),
            count(Wrong::AgainAfterABriefOutage)
        )?;
        writeln!(
            f,
            "  told otherwise than recorded {}, another request ran {}, stuck {}",
            count(Wrong::ToldOtherwise),
            count(Wrong::AnotherRequest),
            count(Wrong::Stuck)
        )?;
        writeln!(f, "  outcomes that were written after the outage: {}", Times(&self.late))?;
        write!(f, "  keys that were put off after the outage: {}", Times(&self.put_off))
    }
}
