//! `forget` of all that there is of a principal.

use std::process::ExitCode;

use cratestack_schema::{PrincipalFilter, RecordFilter, RecordState, Removal};
use serde_json::json;

use super::REFUSED;
use super::audit::{Counts, audit};
use super::connection::{Connection, PrincipalRow};
use super::principal::short_hash;
use super::record::namespace_of;
use super::removal::How;
use super::view::nothing;
use crate::output::{Failure, print, visible};

/// How many records of a principal one statement deletes.
const BATCH: u32 = 1_000;

impl How {
    /// All that there is of some principals; what runs stays, unless it is to go too.
    pub async fn all(
        &self,
        connection: &mut Connection,
        found: &[PrincipalRow],
        is_by_hash: bool,
        removal: &Removal,
    ) -> Result<ExitCode, Failure> {
        if found.is_empty() {
            return Ok(nothing());
        }
        if is_by_hash && found.len() > 1 {
            eprintln!("refused: {} principals have this hash; name the one that is meant by --principal", found.len());
            return Ok(ExitCode::from(REFUSED));
        }
        let mut sums = (Counts::default(), 0);
        let mut lines = Vec::new();
        let mut failure = None;
        for row in found {
            let before = counts_of(row);
            let mut removed = Counts::default();
            if self.yes {
                let statement = connection.name.remove_all_of(connection.dialect(), &row.0, removal, BATCH);
                loop {
                    match connection.remove(&statement).await {
                        Ok(states) => {
                            let batch = states.len();
                            states
                                .iter()
                                .filter_map(|state| state.parse().ok())
                                .for_each(|state| removed.add(state, 1));
                            if batch < BATCH as usize {
                                break;
                            }
                        }
                        Err(error) => {
                            failure = Some(error);
                            break;
                        }
                    }
                }
            } else {
                for state in removal.states() {
                    removed.add(state, before.of(state));
                }
            }
            let running = match self.even_if_running {
                true => 0,
                // Looked at anew: of those that ran before, some may have ended, and gone with the others.
                false if self.yes && failure.is_none() => running(connection, &row.0).await.unwrap_or_else(|error| {
                    failure = Some(error);
                    before.of(RecordState::InFlight)
                }),
                false => before.of(RecordState::InFlight),
            };
            for state in RecordState::ALL {
                sums.0.add(state, removed.of(state));
            }
            sums.1 += running;
            lines.push((row.0.as_str(), removed, running));
            if failure.is_some() {
                break;
            }
        }
        let mut at = None;
        if self.yes {
            let mut what = vec![("principals", lines.len().to_string())];
            if let [(principal, ..)] = lines[..] {
                what = vec![("principal_hash", short_hash(principal))];
                what.extend(namespace_of(principal).map(|namespace| ("namespace", namespace.to_owned())));
            }
            at = audit(connection, "forget", sums.0, &what, self.by.clone()).await;
        }
        self.tell_all(&lines, sums, at.as_ref())?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        if sums.1 > 0 {
            eprintln!(
                "refused: {} in flight, whose requests are running: run this again once they have ended, or say \
                 --even-if-running",
                sums.1
            );
            return Ok(ExitCode::from(REFUSED));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tell_all(
        &self,
        lines: &[(&str, Counts, u64)],
        (removed, running): (Counts, u64),
        at: Option<&String>,
    ) -> Result<(), Failure> {
        if self.json {
            let principals: Vec<_> = lines
                .iter()
                .map(|(principal, removed, running)| {
                    let mut line = json!({
                        "principal_hash": short_hash(principal), "namespace": namespace_of(principal),
                        "removed": removed.all(), "running": running,
                    });
                    if self.names {
                        line["principal"] = json!(principal);
                    }
                    line
                })
                .collect();
            let states: serde_json::Map<_, _> =
                removed.each().map(|(state, count)| (state.to_owned(), json!(count))).collect();
            let whole = json!({
                "action": "forget", "dry_run": !self.yes, "result": if self.yes { "removed" } else { "would_remove" },
                "removed": removed.all(), "running": running, "states": states, "principals": principals, "at": at,
            });
            print(&format!("{whole}\n"))?;
        } else {
            let verb = if self.yes { "removed" } else { "would_remove" };
            for (principal, removed, running) in lines {
                let name = if self.names { visible(principal) } else { short_hash(principal) };
                let namespace = namespace_of(principal).map_or_else(|| "-".to_owned(), visible);
                let counts: Vec<_> = removed.each().map(|(state, count)| format!("{count} {state}")).collect();
                print(&format!(
                    "{verb}  {}  of {name} in namespace {namespace}: {}; {running} running\n",
                    removed.all(),
                    counts.join(", ")
                ))?;
            }
        }
        if !self.yes {
            eprintln!("nothing was changed; --yes does it");
        }
        Ok(())
    }
}

async fn running(connection: &mut Connection, principal: &str) -> Result<u64, Failure> {
    let filter = RecordFilter {
        principal: Some(PrincipalFilter::Stored(principal.to_owned())),
        states: vec![RecordState::InFlight],
        ..RecordFilter::default()
    };
    let rows = connection.principals(&connection.name.principals(connection.dialect(), &filter)).await?;
    Ok(rows.iter().map(|row| counts_of(row).all()).sum())
}

fn counts_of(row: &PrincipalRow) -> Counts {
    let mut counts = Counts::default();
    for (state, count) in RecordState::ALL.into_iter().zip([row.1, row.2, row.3, row.4]) {
        counts.add(state, u64::try_from(count).unwrap_or_default());
    }
    counts
}
