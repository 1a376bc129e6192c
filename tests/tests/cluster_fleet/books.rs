//! What was done against what clients were told.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::Duration,
};

use cratestack_tests::fleet::{Entry, Ledger, Run};

use crate::{
    banks::Banks,
    clients::{Payment, Told},
    operator::Loss,
};

pub struct Books<'a> {
    pub ledger: &'a Ledger,
    pub banks: &'a Banks,
    pub lease: Duration,
    /// While these payments were made.
    pub primaries_lost: bool,
    pub acknowledged_by: u32,
}

/// What the ledger tells of a key.
#[derive(Default)]
struct Runs {
    /// In the order that they began.
    begun: Vec<Run>,
    /// Before each of them, which processes had been told by the store that they have recorded an outcome.
    recorded: Vec<HashSet<u32>>,
}

/// What was found.
#[derive(Default)]
pub struct Book {
    pub payments: usize,
    /// Answers with an outcome, those of the audit among them.
    told: usize,
    effects: usize,
    /// Ran again once the lease of a run had ended that had not recorded its outcome: its process was killed, ...
    window_of_killed: usize,
    /// ... or the store did not take it while the lease lasted.
    window_of_others: usize,
    /// Of both, those that a client had been told of before they could be recorded.
    told_early: usize,
    /// Ran again though its outcome was recorded, or while the lease lasted: what was written has been lost.
    forgotten: Vec<String>,
    /// Told of two outcomes.
    told_otherwise: usize,
    /// Acknowledged, and never done.
    lost: usize,
    /// What must not be, whatever becomes of the Cluster; the lost among it.
    wrong: Vec<String>,
    kills: usize,
    losses: Vec<Back>,
}

/// How long it took after a primary was killed.
struct Back {
    /// Until a key of a slot that was lost was paid by.
    paid: Option<Duration>,
    alone: Duration,
    taken_over: Duration,
    restarted: Duration,
}

impl Books<'_> {
    pub fn close(&self, payments: &[Payment], losses: &[Loss]) -> Book {
        let mut keys: HashMap<String, &Payment> = HashMap::new();
        for payment in payments {
            keys.insert(Ledger::digest(&payment.key), payment);
        }
        let mut runs: HashMap<&str, Runs> = HashMap::new();
        let mut recorded: HashMap<String, HashSet<u32>> = HashMap::new();
        for entry in self.ledger.entries() {
            match entry {
                Entry::Recorded { process, digest } => {
                    recorded.entry(digest).or_default().insert(process);
                }
                Entry::Begun(run) => {
                    let digest = Ledger::digest(&run.key);
                    let Some(payment) = keys.get(&digest) else { continue };
                    let runs = runs.entry(&payment.key).or_default();
                    runs.begun.push(run);
                    runs.recorded.push(recorded.get(&digest).cloned().unwrap_or_default());
                }
                _ => {}
            }
        }
        let mut book = Book { kills: self.banks.kills(), ..Book::default() };
        for payment in payments {
            let runs = runs.remove(&*payment.key).unwrap_or_default();
            book.payments += 1;
            book.told += payment.all_told().count();
            book.effects += runs.begun.len();
            self.close_one(payment, &runs, &mut book);
        }
        book.losses = losses.iter().map(|loss| Back::after(loss, payments)).collect();
        book
    }

    fn close_one(&self, payment: &Payment, Runs { begun, recorded }: &Runs, book: &mut Book) {
        let names: HashSet<_> = begun.iter().map(|run| run.name.as_str()).collect();
        let is_its_own = |told: &Told| names.contains(told.run.as_str()) && told.amount == payment.amount;
        let wrong = if let Some(wrong) = &payment.wrong {
            Some(wrong.as_str())
        } else if begun.is_empty() {
            Some("lost: the client was told that it is done")
        } else if !payment.all_told().all(is_its_own) {
            Some("the client was told of what is not its own")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            book.lost += usize::from(begun.is_empty());
            book.wrong.push(format!("{wrong}\n{}", self.all_of(payment)));
            return;
        }
        let mut forgotten = false;
        for (earlier, (later, recorded)) in begun.iter().zip(begun.iter().zip(recorded).skip(1)) {
            // The lease was counted from a little before the handler began.
            let lease_ended = begun_at(later).saturating_sub(begun_at(earlier)) >= self.lease * 3 / 4;
            if recorded.contains(&earlier.process) || !lease_ended {
                forgotten = true;
                continue;
            }
            book.told_early += usize::from(payment.all_told().any(|told| told.run == earlier.name));
            if self.banks.was_killed(earlier.process) {
                book.window_of_killed += 1;
            } else {
                book.window_of_others += 1;
            }
        }
        let told_otherwise = payment.all_told().any(|told| told.outcome != payment.told[0].outcome);
        if told_otherwise && begun.len() == 1 {
            book.wrong.push(format!("told of two outcomes, though it ran once\n{}", self.all_of(payment)));
        }
        book.told_otherwise += usize::from(told_otherwise);
        if forgotten {
            // One is enough to look into.
            book.forgotten.push(if book.forgotten.is_empty() { self.all_of(payment) } else { payment.key.clone() });
        }
    }

    fn all_of(&self, payment: &Payment) -> String {
        format!("{payment:#?}\n{}", self.ledger.lines_of(&payment.key).join("\n"))
    }

    /// What is promised, and no more.
    pub fn judge(&self, book: &Book) -> Result<(), String> {
        if let Some(wrong) = book.wrong.first() {
            return Err(format!("{} payments are wrong, such as: {wrong}", book.wrong.len()));
        }
        match book.forgotten.first() {
            Some(one) if !self.primaries_lost => Err(format!("doubled, though no primary was lost: {one}")),
            Some(one) if self.acknowledged_by > 0 => Err(format!("doubled, though every replica had it: {one}")),
            _ => Ok(()),
        }
    }
}

/// Its name tells, in nanoseconds since the Unix epoch.
fn begun_at(run: &Run) -> Duration {
    let nanos = run.name.split('-').nth(1).and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a run's name has its time"))
}

impl Back {
    fn after(loss: &Loss, payments: &[Payment]) -> Self {
        let of_the_lost =
            payments.iter().filter(|payment| loss.slots.iter().any(|slots| slots.contains(&payment.slot)));
        let told = of_the_lost.flat_map(|payment| &payment.told).filter(|told| told.sent >= loss.at);
        let paid = told.map(|told| told.heard - loss.at).min();
        Self { paid, alone: loss.alone, taken_over: loss.taken_over, restarted: loss.back }
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payments, told, effects, window_of_killed, window_of_others, told_early, .. } = self;
        let Self { told_otherwise, kills, lost, .. } = self;
        let (forgotten, wrong) = (self.forgotten.len(), self.wrong.len());
        writeln!(
            f,
            "  {payments} payments acknowledged in {told} answers, {effects} effects; {lost} lost, {wrong} wrong"
        )?;
        writeln!(f, "  doubled as a write was lost: {forgotten}; told of two outcomes: {told_otherwise}")?;
        write!(
            f,
            "  doubled in the window of a reservation: {window_of_killed} by services that were killed ({kills} so far), \
             {window_of_others} by others; of both, {told_early} had been told before they could be recorded"
        )?;
        for (n, Back { paid, alone, taken_over, restarted }) in self.losses.iter().enumerate() {
            let paid = paid.map_or("never".to_owned(), |paid| format!("{paid:.1?}"));
            write!(
                f,
                "\n  primary {}, lost after {alone:.0?} alone: its slots were paid by after {paid}; its replica known to \
                 all after {taken_over:.1?}, itself back as a replica after {restarted:.1?}",
                n + 1
            )?;
        }
        Ok(())
    }
}
