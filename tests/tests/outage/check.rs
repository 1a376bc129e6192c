//! The runs of a key, and what was told of it, against what is promised.

use std::collections::HashMap;

use cratestack_tests::{
    Answer,
    fleet::{Books, Entry, Recorded, Run},
};

use crate::plan::{Request, Round};

/// What must never be, however long the outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// A transaction's effect is there twice.
    Doubled,
    /// An effect that was told is not there.
    Lost,
    /// What was told is not what is recorded.
    ToldOtherwise,
    /// The only process ran a key again, beside or after an outcome that it had.
    AgainInTheOnlyProcess,
    /// A process ran a key beside itself.
    BesideItself,
    /// A key ran twice though the outage was far shorter than the lease.
    AgainAfterABriefOutage,
    /// Another request under the key ran, or was answered.
    AnotherRequest,
    /// No final answer, an answer that nobody gives, or an outcome that is never written.
    Stuck,
}

/// What was found of a request in which nothing is wrong.
#[derive(Debug, Default)]
pub struct Found {
    /// Runs after the first, each in another process than the one before it.
    pub taken_over: u64,
    /// Runs after the first in the process that had the one before it: another had taken the key over meanwhile.
    pub taken_back: u64,
    /// Answers that are those of such runs and not of the one that is recorded.
    pub told_of_another_run: u64,
}

type Judged = Result<Found, (Wrong, String)>;

/// Judges a request whose clients have all been told. `was_brief` says that the outage was far shorter than the lease.
pub async fn judge(
    round: &Round,
    request: &Request,
    was_brief: bool,
    told: &[Answer],
    entries: &[Entry],
    books: &Books,
) -> Judged {
    let records = books.records(&request.order.key).await;
    let told: Vec<_> = told.iter().map(Recorded::told).collect();
    let runs: Vec<_> = entries.iter().filter_map(|entry| begun(entry, &request.order.key)).collect();
    let found = if request.is_transaction() {
        let rows = books.rows(&request.order.key, false).await;
        judge_transaction(request, &told, &records, &rows)
    } else {
        judge_reserved(round, request, was_brief, &told, &records, &runs)
    };
    let found = is_never_beside_itself(&request.order.key, entries).and(found);
    found.map_err(|wrong| {
        (wrong, format!("{:#?}\nruns: {runs:#?}\ntold: {told:#?}\nrecords: {records:#?}", request.order))
    })
}

fn begun<'a>(entry: &'a Entry, key: &str) -> Option<&'a Run> {
    match entry {
        Entry::Begun(run) if run.key == key => Some(run),
        _ => None,
    }
}

fn is_never_beside_itself(key: &str, entries: &[Entry]) -> Result<(), Wrong> {
    let mut running = HashMap::<u32, i32>::new();
    for entry in entries {
        match entry {
            Entry::Begun(run) if run.key == key => {
                let running = running.entry(run.process).or_default();
                *running += 1;
                if *running > 1 {
                    return Err(Wrong::BesideItself);
                }
            }
            Entry::Ended(run) if run.key == key => *running.entry(run.process).or_default() -= 1,
            _ => {}
        }
    }
    Ok(())
}

fn judge_transaction(
    request: &Request,
    told: &[Recorded],
    records: &[Option<Recorded>],
    rows: &[(i64, i64)],
) -> Result<Found, Wrong> {
    match rows {
        [] => return Err(Wrong::Lost),
        [(_, amount)] if *amount != request.order.amount => return Err(Wrong::AnotherRequest),
        [_] => {}
        _ => return Err(Wrong::Doubled),
    }
    let [Some(recorded)] = records else { return Err(Wrong::Lost) };
    let is_of_the_row = serde_json::from_slice::<serde_json::Value>(&recorded.body)
        .is_ok_and(|receipt| receipt["row"] == rows[0].0 && recorded.status == 201);
    if is_of_the_row && told.iter().all(|told| told == recorded) {
        Ok(Found::default())
    } else {
        Err(Wrong::ToldOtherwise)
    }
}

fn judge_reserved(
    round: &Round,
    request: &Request,
    was_brief: bool,
    told: &[Recorded],
    records: &[Option<Recorded>],
    runs: &[&Run],
) -> Result<Found, Wrong> {
    if runs.iter().any(|run| run.amount != request.order.amount) {
        return Err(Wrong::AnotherRequest);
    }
    if runs.len() > 1 && round.processes == 1 {
        return Err(Wrong::AgainInTheOnlyProcess);
    }
    if runs.len() > 1 && was_brief {
        return Err(Wrong::AgainAfterABriefOutage);
    }
    let [Some(recorded)] = records else { return Err(Wrong::Lost) };
    let is_of_a_run = |told: &Recorded| {
        told.status == 201 && runs.iter().any(|run| told.headers.get("x-run").is_some_and(|name| *name == *run.name))
    };
    if !told.iter().chain([recorded]).all(is_of_a_run) {
        return Err(Wrong::ToldOtherwise);
    }
    let told_of_another_run = told.iter().filter(|told| *told != recorded).count() as u64;
    if runs.len() == 1 && told_of_another_run > 0 {
        return Err(Wrong::ToldOtherwise);
    }
    let again = runs.windows(2);
    let taken_back = again.clone().filter(|two| two[0].process == two[1].process).count() as u64;
    Ok(Found { taken_over: again.count() as u64 - taken_back, taken_back, told_of_another_run })
}
