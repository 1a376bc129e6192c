//! `show` and `list`: nothing is changed.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use cratestack_schema::{IDEMPOTENCY, RecordState};

use super::NOTHING;
use super::connection::Database;
use super::record::{Record, Shown};
use super::selection::{Key, Principal};
use crate::output::{Failure, print};

/// More records than anybody shows by one key.
const MOST_SHOWN: u32 = 100;

#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    database: Database,

    #[command(flatten)]
    key: Key,

    #[command(flatten)]
    principal: Principal,

    /// Show key and principal in clear, not hashed as in the logs
    #[arg(long)]
    names: bool,

    /// Show the recorded headers and body, which may hold what only the client is to see
    #[arg(long)]
    response: bool,

    /// A line of JSON for each record, for machines
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    database: Database,

    #[command(flatten)]
    principal: Principal,

    /// Records in this state; again for another one, `any` for all [default: `in_flight` and `past_lease`]
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(STATES).map(|name| states(&name)))]
    state: Vec<Vec<RecordState>>,

    /// In their state for at least so long, such as `10m`: in flight since the key was reserved, past the lease since
    /// it ended
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    longer_than: Option<Duration>,

    /// At most so many, the oldest first
    #[arg(long, value_name = "ROWS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,

    /// Show keys and principals in clear, not hashed as in the logs
    #[arg(long)]
    names: bool,

    /// A line of JSON for each record, for machines
    #[arg(long)]
    json: bool,
}

const STATES: [&str; 5] = ["in_flight", "past_lease", "finished", "expired", "any"];

fn states(name: &str) -> Vec<RecordState> {
    name.parse().map_or_else(|_| RecordState::ALL.to_vec(), |state| vec![state])
}

impl Show {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        if !self.key.is_given() {
            return Err(Failure::of("--key", "say which one, by --key or --key-hash; `list` shows several"));
        }
        let mut connection = self.database.connect().await?;
        connection.sound(IDEMPOTENCY.latest()).await?;
        let shown = Shown { names: self.names, response: self.response };
        let mut filter = self.principal.all(&self.key, &[])?;
        filter.contents = self.response;
        let mut records = self.principal.find(&mut connection, &filter, MOST_SHOWN).await?;
        for record in records.iter_mut().filter(|record| record.steps_bytes > 0) {
            record.steps = connection.steps(record).await?;
        }
        connection.close().await;
        if records.is_empty() {
            return Ok(nothing());
        }
        let text = |record: &Record| {
            if self.json { format!("{}\n", serde_json::Value::from(record.json(shown))) } else { record.text(shown) }
        };
        let texts: Vec<_> = records.iter().map(text).collect();
        print(&texts.join(if self.json { "" } else { "\n" }))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Says that there is no such record, and what else it could be.
pub fn nothing() -> ExitCode {
    eprintln!(
        "there is no such record: it was never reserved, was released or swept, is another's, or its transaction is \
         still open, which leaves no row until it commits"
    );
    ExitCode::from(NOTHING)
}

impl List {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let mut connection = self.database.connect().await?;
        connection.sound(IDEMPOTENCY.latest()).await?;
        let states = if self.state.is_empty() {
            vec![RecordState::InFlight, RecordState::PastLease]
        } else {
            self.state.concat()
        };
        let mut filter = self.principal.all(&Key::none(), &states)?;
        filter.lasting_ms = self
            .longer_than
            .map_or(0, |lasting| i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX).min(MAX_LASTING_MS));
        let records = self.principal.find(&mut connection, &filter, self.limit).await?;
        connection.close().await;
        let shown = Shown { names: self.names, response: false };
        if self.json {
            let lines = records.iter().map(|record| format!("{}\n", serde_json::Value::from(record.json(shown))));
            print(&lines.collect::<String>())?;
        } else if !records.is_empty() {
            print(&aligned(records.iter().map(|record| record.line(shown))))?;
        }
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        if count >= self.limit {
            eprintln!("{count} records, the oldest; there may be more: --limit");
        } else {
            eprintln!("{count} {}", if count == 1 { "record" } else { "records" });
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A thousand years: longer than any record is kept, and no more than a database can take off its clock.
const MAX_LASTING_MS: i64 = 1_000 * 365 * 86_400 * 1_000;

/// Columns as wide as what is in them.
fn aligned(lines: impl Iterator<Item = [String; 7]>) -> String {
    let lines: Vec<_> = std::iter::once(Record::TITLES.map(str::to_owned)).chain(lines).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for line in lines {
        let cells: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
