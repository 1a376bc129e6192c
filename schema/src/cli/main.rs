//! The command line of `cratestack-schema`: data on stdout, talk on stderr.

#![forbid(unsafe_code)]
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use cratestack_schema::{Dialect, IDEMPOTENCY, Layout, TableName};

/// The idempotency table of cratestack-runtime, for whoever creates and migrates databases.
///
/// Services keep their idempotency keys in one table. This command prints what creates it.
/// It never connects to a database.
#[derive(Parser)]
#[command(name = "cratestack-schema", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cratestack-schema ddl | psql \"$DATABASE_URL\"
  cratestack-schema ddl --dialect sqlite | sqlite3 app.db
  cratestack-schema ddl --version 1

Inside the workspace, `cargo task` stands for `cratestack-schema`: cargo task ddl";

#[derive(Subcommand)]
enum Command {
    /// Print the SQL that creates the table
    ///
    /// For Postgres the text creates the table or upgrades an older one in place; applying it again does nothing.
    /// For SQLite it is for a database without the table; to upgrade one, call `SqliteStore::migrate()`.
    Ddl(Ddl),
}

#[derive(Args)]
struct Ddl {
    /// The database to write for
    #[arg(long, value_name = "DIALECT", default_value_t = Dialect::Postgres, value_parser = dialects())]
    dialect: Dialect,

    /// The version of the table: 1, or 2 with leases [default: the latest]
    #[arg(long, value_name = "N", value_parser = version)]
    version: Option<u32>,

    #[command(flatten)]
    name: Name,

    /// Spread the table over this many hash partitions (Postgres)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    partitions: Option<u16>,
}

#[derive(Args)]
struct Name {
    /// The table's name, as you would write it without quotes
    #[arg(long, value_name = "NAME", default_value = cratestack_schema::TABLE)]
    table: String,

    /// The schema that the table is in [default: where the database looks first]
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
}

impl Name {
    fn checked(&self, dialect: Dialect) -> Result<TableName, String> {
        let name = TableName::new(self.schema.as_deref(), &self.table);
        name.and_then(|name| name.check(dialect).map(|()| name)).map_err(|error| {
            let flag = if error.is_schema() { "--schema" } else { "--table" };
            format!("{flag}: {error}")
        })
    }
}

impl Ddl {
    fn text(&self) -> Result<String, String> {
        if self.partitions.is_some() && self.dialect != Dialect::Postgres {
            return Err(format!("--partitions: {} has none; leave it out or say --dialect postgres", self.dialect));
        }
        let layout = Layout::new(self.name.checked(self.dialect)?).partitions(self.partitions.unwrap_or(0));
        layout.ddl(self.dialect, self.version.unwrap_or(IDEMPOTENCY.latest())).map_err(|error| error.to_string())
    }
}

fn dialects() -> impl clap::builder::TypedValueParser<Value = Dialect> {
    use clap::builder::TypedValueParser as _;

    clap::builder::PossibleValuesParser::new(Dialect::ALL.map(Dialect::name)).try_map(|name| name.parse::<Dialect>())
}

fn version(text: &str) -> Result<u32, String> {
    let latest = IDEMPOTENCY.latest();
    match text.parse() {
        Ok(version) if (1..=latest).contains(&version) => Ok(version),
        _ => {
            let versions: Vec<_> = (1..=latest).map(|version| version.to_string()).collect();
            Err(format!("the versions are {}", versions.join(", ")))
        }
    }
}

fn main() -> ExitCode {
    let Command::Ddl(ddl) = Cli::parse().command;
    let text = match ddl.text() {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // `| head` has read enough, and that is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}
