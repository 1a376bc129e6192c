//! `release` and `forget`: nothing is changed without --yes.

use std::process::ExitCode;

use clap::Args;
use cratestack_schema::{IDEMPOTENCY, PrincipalFilter, RecordFilter, RecordState, Removal};
use serde_json::{Value, json};

use super::REFUSED;
use super::audit::{Counts, audit};
use super::connection::{Connection, Database, PrincipalRow};
use super::principal::short_hash;
use super::record::{Record, Shown, namespace_of};
use super::selection::{Key, Principal};
use super::view::nothing;
use crate::output::{Failure, print, visible};

/// How many records of a principal one statement deletes.
const BATCH: u32 = 1_000;

#[derive(Args)]
pub struct Release {
    #[command(flatten)]
    database: Database,

    #[command(flatten)]
    key: Key,

    #[command(flatten)]
    principal: Principal,

    #[command(flatten)]
    how: How,
}

#[derive(Args)]
pub struct Forget {
    #[command(flatten)]
    database: Database,

    #[command(flatten)]
    key: Key,

    #[command(flatten)]
    principal: Principal,

    #[command(flatten)]
    how: How,
}

#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
struct How {
    /// Do it; without this, only say what would be done
    #[arg(long)]
    yes: bool,

    /// Only say what would be done, which is the default
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Also what is running, within its lease: its run goes on, its effect may happen beside that of a retry, and its
    /// outcome is recorded nowhere
    #[arg(long)]
    even_if_running: bool,

    /// Who does it, for the audit line [default: the user of this system]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,

    /// Show keys and principals in clear, not hashed as in the logs
    #[arg(long)]
    names: bool,

    /// One line of JSON, for machines
    #[arg(long)]
    json: bool,
}

impl Release {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        if !self.key.is_given() {
            return Err(Failure::of("--key", "say which one, by --key or --key-hash; `list` shows what is stuck"));
        }
        let removal = Removal { unfinished_only: true, even_if_running: self.how.even_if_running, token: None };
        let mut connection = self.database.connect().await?;
        connection.sound(IDEMPOTENCY.latest()).await?;
        let filter = self.principal.all(&self.key, &[])?;
        let found = self.principal.find(&mut connection, &filter, 20).await?;
        let code = self.how.one(&mut connection, "release", &found, removal).await?;
        connection.close().await;
        Ok(code)
    }
}

impl Forget {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        if !self.key.is_given() && !self.principal.is_given() {
            let text = "say which record, by --key or --key-hash, or whose, by --principal or --principal-hash";
            return Err(Failure::of("--key", text));
        }
        let removal = Removal { unfinished_only: false, even_if_running: self.how.even_if_running, token: None };
        let mut connection = self.database.connect().await?;
        connection.sound(IDEMPOTENCY.latest()).await?;
        let filter = self.principal.all(&self.key, &[])?;
        let code = if self.key.is_given() {
            let found = self.principal.find(&mut connection, &filter, 20).await?;
            self.how.one(&mut connection, "forget", &found, removal).await?
        } else {
            let found = self.principal.count(&mut connection, &filter).await?;
            self.how.all(&mut connection, &found, self.principal.is_by_hash(), &removal).await?
        };
        connection.close().await;
        Ok(code)
    }
}

impl How {
    /// One record, of those that were found: as it was found, and no other.
    async fn one(
        &self,
        connection: &mut Connection,
        action: &str,
        found: &[Record],
        mut removal: Removal,
    ) -> Result<ExitCode, Failure> {
        let record = match found {
            [] => return Ok(nothing()),
            [record] => record,
            several => return self.ambiguous(action, several),
        };
        let shown = Shown { names: self.names, response: false };
        if !removal.states().contains(&record.state) {
            eprintln!("refused: {}", refusal(action, record.state));
            return self.tell(action, &Outcome { refused: true, ..Outcome::of(record, shown) });
        }
        let mut done = Outcome::of(record, shown);
        if self.yes {
            removal.token = Some(record.token.clone());
            let statement = connection.name.remove(connection.dialect(), &record.principal, &record.key, &removal);
            let states = connection.remove(&statement).await?;
            let mut counts = Counts::default();
            for state in states.iter().filter_map(|state| state.parse().ok()) {
                counts.add(state, 1);
            }
            let mut what = vec![("key_hash", record.key_hash()), ("principal_hash", record.principal_hash())];
            what.extend(record.namespace().map(|namespace| ("namespace", namespace.to_owned())));
            done.at = audit(connection, action, counts, &what, self.by.clone()).await;
            done.removed = counts.all() > 0;
            done.refused = !done.removed;
            if let [state] = RecordState::ALL.into_iter().filter(|state| counts.of(*state) > 0).collect::<Vec<_>>()[..]
            {
                done.state = state;
            }
            if done.refused {
                // Looked at again: somebody has changed it since.
                let one = RecordFilter::one(&record.principal, &record.key);
                let left = connection.records(&connection.name.records(connection.dialect(), &one, 1)).await?;
                let state = left.first().map_or("gone".to_owned(), |record| record.state.to_string());
                eprintln!("refused: the record has changed since it was looked at, and is {state}; look again");
                return self.tell(action, &done);
            }
        }
        let whether = if self.yes { "is" } else { "would be" };
        eprintln!("{}", consequence(action, done.state, whether));
        self.tell(action, &done)
    }

    fn ambiguous(&self, action: &str, several: &[Record]) -> Result<ExitCode, Failure> {
        let shown = Shown { names: self.names, response: false };
        eprintln!(
            "refused: {} records are meant, and {action} takes one: narrow it by --principal, --principal-hash, \
             --namespace or --no-namespace",
            several.len()
        );
        for record in several {
            eprintln!("  {}", record.line(shown).join("  "));
        }
        if self.json {
            let records: Vec<_> = several.iter().map(|record| Value::from(record.json(shown))).collect();
            let whole = json!({
                "action": action, "dry_run": !self.yes, "result": "refused", "reason": "several", "records": records,
            });
            print(&format!("{whole}\n"))?;
        }
        Ok(ExitCode::from(REFUSED))
    }

    /// Says on stdout what was, or would be, done.
    fn tell(&self, action: &str, outcome: &Outcome) -> Result<ExitCode, Failure> {
        let result = match outcome {
            Outcome { refused: true, .. } => "refused",
            Outcome { removed: true, .. } => "removed",
            _ => "would_remove",
        };
        if self.json {
            let mut record = outcome.json.clone();
            record["state"] = json!(outcome.state.name());
            let whole = json!({
                "action": action, "dry_run": !self.yes, "result": result, "records": [record], "at": outcome.at,
            });
            print(&format!("{whole}\n"))?;
        } else {
            print(&format!("{result}  {}\n", outcome.line))?;
        }
        if result == "would_remove" {
            eprintln!("nothing was changed; --yes does it");
        }
        Ok(if outcome.refused { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
    }

    /// All that there is of some principals; what runs stays, unless it is to go too.
    async fn all(
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
                false if self.yes && failure.is_none() => running(connection, &row.0).await?,
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

/// What became, or would become, of one record.
struct Outcome {
    state: RecordState,
    line: String,
    json: Value,
    removed: bool,
    refused: bool,
    at: Option<String>,
}

impl Outcome {
    fn of(record: &Record, shown: Shown) -> Self {
        Self {
            state: record.state,
            line: record.line(shown).join("  "),
            json: Value::from(record.json(shown)),
            removed: false,
            refused: false,
            at: None,
        }
    }
}

fn refusal(action: &str, state: RecordState) -> String {
    match state {
        RecordState::InFlight => "the request is running, within its lease. Its run would go on, and its effect may \
             happen beside that of a retry: wait until the lease has ended, or say --even-if-running"
            .to_owned(),
        RecordState::Finished => {
            format!("the request has finished; {action} is for what has not, and forget deletes it")
        }
        RecordState::Expired => "the record has expired: any request may have its key already".to_owned(),
        RecordState::PastLease => "the lease has ended".to_owned(),
    }
}

fn consequence(action: &str, state: RecordState, whether: &str) -> String {
    match (state, action) {
        (RecordState::InFlight, _) => format!(
            "the key {whether} free while its request runs: its effect may happen, or have happened, and nothing of it \
             is recorded; a retry, or another request, runs beside it"
        ),
        (RecordState::PastLease, _) => format!(
            "the key {whether} free for any request. What became of the one that had it is not known: its effect may have \
             happened, and a retry has it again"
        ),
        (RecordState::Finished, _) => {
            format!("the outcome {whether} deleted: a retry is a new request, and has its effect again")
        }
        (RecordState::Expired, _) => format!("what had expired {whether} deleted"),
    }
}
