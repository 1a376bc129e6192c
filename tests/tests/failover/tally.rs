//! What was told against what was done.

use std::time::Duration;

use super::shop::{Ledger, Told, Watch};

/// Of one round, or of several.
#[derive(Debug, Default)]
pub struct Tally {
    pub rounds: u64,
    pub keys: u64,
    /// Keys whose effect happened more than once because their record was lost.
    pub doubled: u64,
    /// Keys whose effect happened more than once because a lease ended before the outcome could be written.
    pub outlasted: u64,
    /// Keys of which a client was told one outcome, and then another.
    pub altered: u64,
    /// Rounds with a key that was doubled or altered.
    pub rounds_with_a_loss: u64,
    /// Answers that the store is unavailable.
    pub refused: u64,
    /// How long each outage lasted for clients.
    pub back: Vec<Duration>,
}

impl Tally {
    /// Of a round.
    ///
    /// # Errors
    /// Where something happened that no loss explains.
    pub fn of(ledger: &Ledger, told: &[Told], watch: &Watch) -> Result<Self, String> {
        if !ledger.knows_what_is_recorded() {
            return Err("no outcome was recorded".into());
        }
        let mut tally = Self { rounds: 1, refused: watch.refused(), ..Self::default() };
        tally.back.extend(watch.back());
        for told in told {
            tally.keys += 1;
            let runs = ledger.runs(&told.key);
            let is_run = |number: u64| runs.iter().any(|run| run.run == number);
            if !is_run(told.then) || told.first.is_some_and(|first| !is_run(first)) {
                return Err(format!("an outcome that no run of its key had: {told:?}, {runs:?}"));
            }
            let is_altered = told.first.is_some_and(|first| first != told.then);
            tally.altered += u64::from(is_altered);
            match runs.as_slice() {
                [_] if is_altered => return Err(format!("one run, and two outcomes: {told:?}, {runs:?}")),
                [_] => {}
                [_, later @ ..] if later.iter().any(|run| run.is_first_to_the_server) => tally.doubled += 1,
                _ => tally.outlasted += 1,
            }
        }
        tally.rounds_with_a_loss = u64::from(tally.doubled + tally.outlasted + tally.altered > 0);
        Ok(tally)
    }

    pub fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.keys += other.keys;
        self.doubled += other.doubled;
        self.outlasted += other.outlasted;
        self.altered += other.altered;
        self.rounds_with_a_loss += other.rounds_with_a_loss;
        self.refused += other.refused;
        self.back.extend(other.back);
    }

    /// Nothing was lost: what is told of a scenario that promises it.
    pub fn nothing_was_lost(&self) -> bool {
        self.doubled == 0 && self.altered <= self.outlasted
    }

    /// The row of a table, below [`HEAD`].
    pub fn row(&self, name: &str) -> String {
        let Self { rounds, keys, doubled, outlasted, altered, rounds_with_a_loss, refused, .. } = self;
        let mut back = self.back.clone();
        back.sort();
        let at =
            |nth: usize| back.get(nth).map_or_else(|| "–".to_owned(), |back| format!("{:.2} s", back.as_secs_f64()));
        let (median, longest) = (at(back.len() / 2), at(back.len().saturating_sub(1)));
        format!(
            "| {name} | {rounds} | {keys} | {doubled} | {altered} | {rounds_with_a_loss} | {outlasted} | {refused} | \
             {median} | {longest} |"
        )
    }
}

/// Of a table in Markdown.
pub const HEAD: &str = "\
| scenario | rounds | keys | ran twice, record lost | told otherwise | rounds with either | ran twice, lease over | refused | \
back, median | back, longest |
|---|---|---|---|---|---|---|---|---|---|";
