//! The table as a whole: `check`, `stats` and `sweep`.

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use cratestack_schema::IDEMPOTENCY;
use serde_json::json;

use super::connection::{Database, Source};
#[cfg(feature = "redis")]
use super::servers;
use super::servers::Servers;
use crate::output::{Failure, Progress, age, bytes, paint, print};

/// What is compared: the database at --database-url with the table that --schema and --table name.
#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    database: Source,

    #[command(flatten)]
    servers: Servers,

    /// One line of JSON, for machines
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Stats {
    #[command(flatten)]
    database: Source,

    #[command(flatten)]
    servers: Servers,

    /// One line of JSON, for machines
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Sweep {
    #[command(flatten)]
    database: Database,

    /// How many rows one statement deletes
    #[arg(long, value_name = "ROWS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
}

/// What `check` and `stats` take instead of a database.
const INSTEAD: &str = "; or a server of Valkey or Redis by --redis-url";

impl Check {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        if self.servers.is_given() {
            #[cfg(feature = "redis")]
            {
                self.database.unsaid()?;
                return servers::check(&self.servers, self.json).await;
            }
            #[cfg(not(feature = "redis"))]
            return Err(unknown_servers());
        }
        let mut connection = self.database.connect(INSTEAD).await?;
        let report = connection.report().await?;
        if self.json {
            let findings: Vec<_> = report
                .findings()
                .iter()
                .map(|finding| json!({ "kind": finding.kind.name(), "text": finding.text, "remedy": finding.remedy }))
                .collect();
            let whole = json!({
                "schema": connection.name.schema(),
                "table": connection.name.table(),
                "dialect": connection.dialect().name(),
                "clean": report.is_clean(),
                "version": report.version(),
                "expected_version": IDEMPOTENCY.latest(),
                "findings": findings,
            });
            print(&format!("{whole}\n"))?;
        } else {
            let mut text = report.to_string();
            for finding in report.findings() {
                let kind = format!("\n  {:<12}", finding.kind);
                let painted = format!("\n  {}", paint(&io::stdout(), "31", &format!("{:<12}", finding.kind)));
                text = text.replace(&kind, &painted);
            }
            print(&format!("{text}\n"))?;
        }
        connection.close().await;
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

#[cfg(not(feature = "redis"))]
fn unknown_servers() -> Failure {
    Failure::of("--redis-url", "this build of the program knows no such servers: build it with the feature redis")
}

impl Stats {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        if self.servers.is_given() {
            #[cfg(feature = "redis")]
            {
                self.database.unsaid()?;
                return servers::stats(&self.servers, self.json).await;
            }
            #[cfg(not(feature = "redis"))]
            return Err(unknown_servers());
        }
        let mut connection = self.database.connect(INSTEAD).await?;
        connection.sound(IDEMPOTENCY.latest()).await?;
        let counts = connection.counts().await?;
        connection.close().await;
        if self.json {
            print(&format!("{}\n", counts.json()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let lines = [
            ("rows", counts.rows.to_string()),
            ("finished", counts.finished().to_string()),
            ("in flight", counts.in_flight.to_string()),
            ("past their lease", counts.past_lease.to_string()),
            ("expired, unswept", counts.expired.to_string()),
            ("oldest", counts.oldest_seconds.map_or_else(|| "-".to_owned(), age)),
            ("table", bytes(counts.table_bytes)),
            ("indexes", counts.index_bytes.map_or_else(|| "in the table's".to_owned(), bytes)),
        ];
        let lines = lines.map(|(what, count)| format!("{what:<18}{count:>16}\n"));
        print(&lines.concat())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Sweep {
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let mut connection = self.database.connect().await?;
        // What a sweep looks at has been there since the first version.
        connection.sound(1).await?;
        let progress = Progress::new(connection.expired().await?);
        let started = Instant::now();
        let mut swept = 0;
        loop {
            progress.show(swept);
            let batch = connection.sweep(self.batch).await.inspect_err(|_| progress.clear())?;
            swept += batch;
            if batch == 0 {
                break;
            }
        }
        progress.clear();
        let left = connection.expired().await?;
        connection.close().await;
        eprintln!("deleted {swept} expired rows in {:.1} s", started.elapsed().as_secs_f64());
        if left > 0 {
            eprintln!("{left} are left: another process sweeps, or holds them; run this again later");
        }
        print(&format!("{swept}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
