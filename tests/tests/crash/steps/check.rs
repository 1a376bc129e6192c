//! The ledger, the provider's and the database's books against each other, and against what clients were told.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use cratestack_tests::fleet::{Charge, Entry, Recorded, Run, Stage, StepEntry};
use serde_json::Value;

use super::{
    World,
    clients::{Purchase, without_run},
};

/// A purchase, and what all its clients were told.
pub struct Bought {
    pub purchase: Purchase,
    pub recorded: Recorded,
    /// The store was away meanwhile: what was told need not be recorded, and is then told by another run.
    pub unsettled: bool,
}

/// What was found where nothing is wrong.
#[derive(Default)]
pub struct Findings {
    /// Runs, and those of them that were not the first of their purchase.
    runs: u64,
    later_runs: u64,
    /// By the step's name.
    steps: BTreeMap<String, Step>,
    /// Steps that a run was given from an earlier attempt.
    skipped: u64,
    /// Calls that the provider got, beside the first of each charge.
    further_calls: u64,
    charges: u64,
    debits: u64,
    /// Closures that a process began which had been stopped in between, of a step that its successor had recorded.
    stale: u64,
    /// Where runs were that did not come to an end.
    ended_at: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Step {
    /// How often its closure was begun, and came to its end.
    begun: u64,
    done: u64,
    /// Purchases for which it came to its end more than once; of a transaction step all but one were rolled back.
    keys_done_twice: u64,
}

/// The history of one step of one purchase.
#[derive(Default)]
struct History {
    done: Vec<String>,
    recorded: Option<StepEntry>,
    /// Seen in the database.
    seen: bool,
}

type Histories = HashMap<(String, String), History>;

/// Judges what has happened so far, and these purchases wholly.
pub async fn judge(world: &World, bought: &[Bought]) -> Result<Findings, String> {
    // In this order: what is told in the ledger has happened at the provider and in the database.
    let entries = world.ledger.entries();
    let debits = world.books.debits().await;
    let charges = world.provider.charges();
    let mut findings = Findings::default();
    let histories = judge_steps(world, entries, &mut findings)?;

    let mut charge_of: HashMap<&str, &Charge> = HashMap::new();
    for charge in &charges {
        findings.further_calls += charge.calls - 1;
        if let Some(other) = charge_of.insert(&charge.purchase, charge) {
            return Err(format!("charged twice: {charge:?}, {other:?}"));
        }
    }
    let mut debit_of: HashMap<&str, (i64, i64)> = HashMap::new();
    for (key, row, amount) in &debits {
        if let Some((other, _)) = debit_of.insert(key, (*row, *amount)) {
            return Err(format!("a transaction step was committed twice: {key}, rows {other} and {row}"));
        }
    }
    (findings.charges, findings.debits) = (charges.len() as u64, debits.len() as u64);

    for Bought { purchase, recorded, unsettled } in bought {
        let history = |step: &str| histories.get(&(purchase.key.clone(), step.to_owned()));
        let charge = charge_of.get(&*purchase.key).ok_or_else(|| format!("no charge: {purchase:?}"))?;
        if charge.amount != purchase.amount {
            return Err(format!("another amount was charged: {purchase:?}, {charge:?}"));
        }
        let debit = debit_of.get(&*purchase.key);
        if purchase.declined {
            if debit.is_some() || history("ship").is_some() {
                return Err(format!("declined, and yet debited or shipped: {purchase:?}"));
            }
            continue;
        }
        let told: Value = serde_json::from_slice(&recorded.body).map_err(|error| error.to_string())?;
        let debit = debit.ok_or_else(|| format!("told and not debited: {purchase:?}"))?;
        if told["charge"] != *charge.name || told["debit"] != debit.0 || purchase.amount != debit.1 {
            return Err(format!("told {told}, charged {charge:?}, debited {debit:?}: {purchase:?}"));
        }
        let shipped = history("ship").is_some_and(|ship| ship.done.iter().any(|name| told["shipment"] == **name));
        if !shipped {
            return Err(format!("told of a shipment that nobody made: {told}, {purchase:?}"));
        }
        for (step, value) in [("charge", &told["charge"]), ("debit", &told["debit"]), ("ship", &told["shipment"])] {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let of_a_run = history(step).and_then(|history| history.recorded.as_ref());
            if of_a_run.is_some_and(|recorded| recorded.value != value) {
                return Err(format!("{step} is told as {value}, and recorded as {of_a_run:?}: {purchase:?}"));
            }
        }
        let records = world.books.records(&purchase.key).await;
        let is_kept = match &records[..] {
            [Some(kept)] if *unsettled => without_run(kept) == without_run(recorded),
            [Some(kept)] => kept == recorded,
            [None] => *unsettled,
            _ => false,
        };
        if !is_kept {
            return Err(format!("told {recorded:?}, and recorded {records:?}: {purchase:?}"));
        }
    }
    if !bought.is_empty() {
        let accounts = world.books.unexplained_by_debits().await;
        if !accounts.is_empty() {
            return Err(format!("accounts that the debits do not explain: {accounts:?}"));
        }
    }
    Ok(findings)
}

/// No step is begun once it is recorded, and none is recorded by two runs.
fn judge_steps(world: &World, entries: Vec<Entry>, findings: &mut Findings) -> Result<Histories, String> {
    let mut histories = Histories::new();
    let mut attempts: HashMap<String, u64> = HashMap::new();
    let mut under_way: HashMap<String, String> = HashMap::new();
    for entry in entries {
        match entry {
            Entry::Begun(Run { key, name, .. }) => {
                findings.runs += 1;
                let attempts = attempts.entry(key).or_default();
                findings.later_runs += u64::from(*attempts > 0);
                *attempts += 1;
                under_way.insert(name, "before the first step".to_owned());
            }
            Entry::Ended(run) => {
                under_way.remove(&run.name);
            }
            Entry::Stalled(_) | Entry::Recorded { .. } => {}
            Entry::Step(entry) => {
                let at = match entry.stage {
                    Stage::Begun => "in the closure of",
                    Stage::Done => "between effect and record of",
                    Stage::Recorded | Stage::Skipped => "after",
                };
                if let Some(place) = under_way.get_mut(&entry.run) {
                    *place = format!("{at} {}", entry.step);
                }
                judge_step(world, entry, &mut histories, findings)?;
            }
        }
    }
    for ((_, step), history) in &histories {
        let step = findings.steps.entry(step.clone()).or_default();
        step.keys_done_twice += u64::from(history.done.len() > 1);
    }
    for place in under_way.into_values() {
        *findings.ended_at.entry(place).or_default() += 1;
    }
    Ok(histories)
}

fn judge_step(
    world: &World,
    entry: StepEntry,
    histories: &mut Histories,
    findings: &mut Findings,
) -> Result<(), String> {
    let history = histories.entry((entry.key.clone(), entry.step.clone())).or_default();
    let step = findings.steps.entry(entry.step.clone()).or_default();
    match entry.stage {
        Stage::Begun => {
            step.begun += 1;
            if history.recorded.is_some() || history.seen {
                // A run that has looked at its lease and then stalls for longer than that begins late. It records
                // nothing.
                if !world.report.was_stopped(entry.process) {
                    return Err(format!("a recorded step runs again: {entry:?}, recorded: {:?}", history.recorded));
                }
                findings.stale += 1;
            }
        }
        Stage::Done => {
            step.done += 1;
            history.done.push(entry.value);
        }
        Stage::Recorded if entry.process == 0 => history.seen = true,
        Stage::Recorded => {
            if let Some(other) = history.recorded.replace(entry) {
                return Err(format!("two runs recorded a step: {other:?}, {:?}", history.recorded));
            }
        }
        Stage::Skipped => {
            findings.skipped += 1;
            if history.recorded.as_ref().is_some_and(|recorded| recorded.value != entry.value) {
                return Err(format!("a step was given as {entry:?}, and recorded as {:?}", history.recorded));
            }
        }
    }
    Ok(())
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, later_runs, steps, skipped, further_calls, charges, debits, stale, ended_at } = self;
        writeln!(
            f,
            "  recorded steps that ran again 0, transaction steps committed twice 0, purchases charged twice 0"
        )?;
        writeln!(f, "  {runs} runs, {later_runs} of them later attempts, which skipped {skipped} recorded steps")?;
        writeln!(f, "  {charges} charges, {further_calls} calls with a key that had been charged; {debits} debits")?;
        for (name, Step { begun, done, keys_done_twice }) in steps {
            writeln!(f, "  {name}: begun {begun}, done {done}, more than once for {keys_done_twice} purchases")?;
        }
        writeln!(f, "  begun by a run that had been stopped, after its successor had recorded it: {stale}")?;
        let places: Vec<_> = ended_at.iter().map(|(place, count)| format!("{place} {count}")).collect();
        write!(f, "  runs that were cut off: {}", places.join(", "))
    }
}
