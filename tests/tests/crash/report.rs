//! What the harness says while it runs, and at its end.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::plan::Kind;

pub struct Report {
    database: &'static str,
    seed: u64,
    started: Instant,
    told: Instant,
    pub service_kills: u64,
    pub database_kills: u64,
    pub transactions: Tally,
    pub reserved: Tally,
    pub reserved_doubled: u64,
    pub reserved_unsettled: u64,
    /// From the kill to a request's outcome.
    pub longest: Duration,
}

/// Requests of one mode.
#[derive(Default)]
pub struct Tally {
    /// Different ones.
    pub keys: u64,
    /// Sent, duplicates and retries among them.
    pub sent: u64,
    /// Sent, and the connection was cut before an answer.
    pub cut_off: u64,
    /// Answered that the transaction was undone, or that nobody knows.
    pub undone: u64,
    /// Keys that nobody had an answer for when the kill came, and whose outcome was recorded.
    pub had_committed: u64,
    /// Keys that nobody had an answer for when the kill came, and that ran anew.
    pub ran_anew: u64,
}

impl Report {
    pub fn new(database: &'static str, seed: u64, rounds: u64) -> Self {
        println!("{database}: {rounds} rounds, SEED={seed}");
        let now = Instant::now();
        Self {
            database,
            seed,
            started: now,
            told: now,
            service_kills: 0,
            database_kills: 0,
            transactions: Tally::default(),
            reserved: Tally::default(),
            reserved_doubled: 0,
            reserved_unsettled: 0,
            longest: Duration::ZERO,
        }
    }

    pub fn tally(&mut self, kind: Kind) -> &mut Tally {
        if kind == Kind::Reserved { &mut self.reserved } else { &mut self.transactions }
    }

    /// A line now and then.
    pub fn progress(&mut self, round: u64, rounds: u64) {
        if self.told.elapsed() > Duration::from_secs(10) {
            self.told = Instant::now();
            println!("{}: {} of {rounds} rounds, {:.0?}", self.database, round + 1, self.started.elapsed());
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, sent, cut_off, undone, had_committed, ran_anew } = self;
        write!(
            f,
            "{keys} keys, {sent} requests, {cut_off} of them cut off, {undone} undone; of the keys cut off without an answer \
             {had_committed} were recorded, {ran_anew} ran anew"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, seed, service_kills, database_kills, .. } = self;
        writeln!(
            f,
            "{database}: SEED={seed}, {service_kills} kills of the service, {database_kills} of the database, {:.0?}",
            self.started.elapsed()
        )?;
        writeln!(f, "  in a transaction: {}", self.transactions)?;
        writeln!(f, "    lost 0, doubled 0, told otherwise than recorded 0; longest retry {:.1?}", self.longest)?;
        writeln!(f, "  beside a reservation: {}", self.reserved)?;
        write!(
            f,
            "    doubled in the window that a reservation leaves: {}; unsettled by a kill of the database: {}",
            self.reserved_doubled, self.reserved_unsettled
        )
    }
}
