//! What the harness says while it runs, and at its end.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

/// A store is away for less than that.
const AWAY: Duration = Duration::from_secs(15);

pub struct Report {
    database: &'static str,
    seed: u64,
    started: Instant,
    tally: Mutex<Tally>,
}

struct Tally {
    told: Instant,
    /// Moments at which services were killed, and how many services that were.
    kills: u64,
    services_killed: u64,
    database_kills: u64,
    /// The processes that were stopped.
    stopped: HashSet<u32>,
    purchases: u64,
    longest: Duration,
    /// When the database was last killed, or a service that may have been writing was stopped.
    away: Option<Instant>,
    /// Purchases that one run told and another recorded.
    told_by_another: u64,
    /// Answers, or their absence, after which a client asked again.
    not_yet: BTreeMap<String, u64>,
}

impl Report {
    pub fn new(database: &'static str, seed: u64) -> Self {
        let now = Instant::now();
        let tally = Tally {
            told: now,
            kills: 0,
            services_killed: 0,
            database_kills: 0,
            stopped: HashSet::new(),
            purchases: 0,
            longest: Duration::ZERO,
            away: None,
            told_by_another: 0,
            not_yet: BTreeMap::new(),
        };
        Self { database, seed, started: now, tally: tally.into() }
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap()
    }

    /// A line now and then.
    pub fn kill(&self, number: u64, kills: u64) {
        let mut tally = self.tally();
        tally.kills += 1;
        if tally.told.elapsed() > Duration::from_secs(10) {
            tally.told = Instant::now();
            let (database, purchases, since) = (self.database, tally.purchases, self.started.elapsed());
            println!("{database}, steps: {number} of {kills} kills, {purchases} purchases, {since:.0?}");
        }
    }

    pub fn killed_a_service(&self) {
        self.tally().services_killed += 1;
    }

    pub fn killed_the_database(&self) {
        let mut tally = self.tally();
        tally.database_kills += 1;
        tally.away = Some(Instant::now());
    }

    pub fn stopped(&self, process: u32) {
        let mut tally = self.tally();
        tally.stopped.insert(process);
        tally.away = Some(Instant::now());
    }

    /// Whether outcomes of after that moment may have met a store that was away.
    pub fn store_was_away_since(&self, since: tokio::time::Instant) -> bool {
        let since = since.into_std();
        self.tally().away.is_some_and(|away| away + AWAY > since)
    }

    /// Whether all were told what is recorded, by one run.
    pub fn settled(&self, exactly: bool) {
        self.tally().told_by_another += u64::from(!exactly);
    }

    pub fn was_stopped(&self, process: u32) -> bool {
        self.tally().stopped.contains(&process)
    }

    pub fn purchased(&self, took: Duration) {
        let mut tally = self.tally();
        tally.purchases += 1;
        tally.longest = tally.longest.max(took);
    }

    pub fn not_yet(&self, why: &str) {
        *self.tally().not_yet.entry(why.to_owned()).or_default() += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, seed, started, .. } = self;
        let tally = self.tally();
        let Tally { kills, services_killed, database_kills, stopped, purchases, longest, not_yet, .. } = &*tally;
        let told_by_another = tally.told_by_another;
        writeln!(
            f,
            "{database}, steps: SEED={seed}, {kills} kills of {services_killed} services, {database_kills} kills of \
             the database, {} services stopped for longer than their lease, {:.0?}",
            stopped.len(),
            started.elapsed()
        )?;
        writeln!(f, "  {purchases} purchases, each with an outcome; the longest took {longest:.1?}")?;
        writeln!(f, "  told by a run that could not write it, and once more by another, alike: {told_by_another}")?;
        let again: Vec<_> = not_yet.iter().map(|(why, count)| format!("{why} {count}")).collect();
        write!(f, "  asked again after: {}", again.join(", "))
    }
}
