//! `release` and `forget`: nothing is changed without --yes.

use std::process::ExitCode;

use clap::Args;
use cratestack_schema::{IDEMPOTENCY, RecordFilter, RecordState, Removal};
use serde_json::{Value, json};

use super::REFUSED;
use super::audit::{Counts, audit};
use super::connection::{Connection, Database};
use super::record::{Record, Shown};
use super::selection::{Key, Principal};
use super::view::nothing;
use crate::output::{Failure, print};

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
pub struct How {
    /// Do it; without this, only say what would be done
    #[arg(long)]
    pub yes: bool,

    /// Only say what would be done, which is the default
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Also what is running, within its lease: its run goes on, its effect may happen beside that of a retry, and its
    /// outcome is recorded nowhere
    #[arg(long)]
    pub even_if_running: bool,

    /// Who does it, for the audit line [default: the user of this system]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,

    /// Show keys and principals in clear, not hashed as in the logs
    #[arg(long)]
    pub names: bool,

    /// One line of JSON, for machines
    #[arg(long)]
    pub json: bool,
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
            "the key {whether} free for any request. What became of the one that had it is not known: its effect may \
             have happened, and a retry has it again"
        ),
        (RecordState::Finished, _) => {
            format!("the outcome {whether} deleted: a retry is a new request, and has its effect again")
        }
        (RecordState::Expired, _) => format!("what had expired {whether} deleted"),
    }
}
