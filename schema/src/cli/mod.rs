//! What was asked, and who answers it.

mod files;
#[cfg(feature = "live")]
mod live;
mod number;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use cratestack_schema::{Dialect, Format, IDEMPOTENCY, Migration, NamedTable, Partitions, TABLE, TableName};

/// The idempotency table of cratestack-runtime, for whoever creates, migrates and watches databases.
///
/// Services keep their idempotency keys in one table, `cratestack_idempotency` unless you name another. `ddl` and
/// `migration` write the SQL that creates and upgrades it, and connect to nothing. `check`, `stats` and `sweep` look at a
/// database.
#[derive(Parser)]
#[command(name = "cratestack-schema", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cratestack-schema ddl | psql \"$DATABASE_URL\"
  cratestack-schema migration --format sqlx --out migrations
  cratestack-schema check --database-url \"$DATABASE_URL\"

Exit codes: 0 all is well; 1 `check` found a difference; 2 the command could not do its work.
Inside the workspace, `cargo task` stands for `cratestack-schema`: cargo task ddl";

#[derive(Subcommand)]
enum Command {
    /// Print the SQL that creates the table
    ///
    /// For Postgres the text creates the table or upgrades an older one in place; applying it again does nothing.
    /// For SQLite it is for a database without the table; to upgrade one, see `migration`.
    Ddl(Ddl),
    /// Write the files of a migration tool
    ///
    /// From nothing, or from an older version with --from. Where the tool can go back, the files say how. Without --out
    /// they are printed.
    ///
    /// What upgrades a table waits at most a second for its lock, so that traffic does not queue behind it: if it
    /// fails for that, run it again.
    Migration(MigrationArgs),
    /// Compare the table in a database with what programs expect
    ///
    /// Prints what differs, each with the statement or the command that mends it. Exits with 0 when nothing does, with 1
    /// when something does.
    #[cfg(feature = "live")]
    Check(live::Check),
    /// Count rows, what is in flight, what has expired, and the room that they take
    #[cfg(feature = "live")]
    Stats(live::Stats),
    /// Delete what has expired, in batches
    ///
    /// Services with a sweeper do this by themselves. Nothing that is live is touched, and nobody waits for longer than a
    /// batch takes. It can be stopped at any time.
    #[cfg(feature = "live")]
    Sweep(live::Sweep),
}

#[derive(Args)]
struct Ddl {
    #[command(flatten)]
    text: Text,

    /// The version of the table: 1, 2 with leases, 3 with storage options [default: the latest]
    #[arg(long, value_name = "N", value_parser = version)]
    version: Option<u32>,
}

#[derive(Args)]
struct MigrationArgs {
    /// The tool that runs it
    #[arg(long, value_name = "TOOL", default_value_t = Format::Plain, value_parser = formats())]
    format: Format,

    /// The version that the table has now; 0 where there is none
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u32,

    /// The version to reach [default: the latest]
    #[arg(long, value_name = "N", value_parser = version)]
    to: Option<u32>,

    /// The directory to write to, that of the tool; files that are there are never overwritten
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// What orders the files among the tool's others [default: the time, or for refinery and flyway one more than the
    /// highest in --out]
    #[arg(long, value_name = "DIGITS", value_parser = number::parse)]
    number: Option<String>,

    #[command(flatten)]
    text: Text,
}

/// What any SQL text depends on.
#[derive(Args)]
struct Text {
    /// The database to write for
    #[arg(long, value_name = "DIALECT", default_value_t = Dialect::Postgres, value_parser = dialects())]
    dialect: Dialect,

    #[command(flatten)]
    name: Name,

    /// Lay the table out in so many hash partitions (Postgres alone)
    #[arg(long, value_name = "N")]
    partitions: Option<Partitions>,
}

#[derive(Args)]
struct Name {
    /// The table's name, exactly as spelled
    #[arg(long, value_name = "NAME", default_value = TABLE, allow_hyphen_values = true)]
    table: String,

    /// Its schema; for SQLite an attached database [default: where the database looks by itself]
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    schema: Option<String>,
}

impl Name {
    fn table(&self) -> Result<NamedTable, Failure> {
        let name = TableName::new(self.schema.as_deref(), &self.table)
            .map_err(|error| Failure(format!("--{}: {error}", error.part())))?;
        Ok(IDEMPOTENCY.named(name))
    }
}

impl Text {
    fn table(&self) -> Result<NamedTable, Failure> {
        let table = self.name.table()?;
        match self.partitions {
            None => Ok(table),
            Some(_) if self.dialect != Dialect::Postgres => {
                Err(Failure(format!("--partitions: {} has none; leave it out", self.dialect)))
            }
            Some(partitions) => Ok(table.partitioned(partitions)),
        }
    }
}

/// What is said, after `error: `, when a command cannot do its work.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn new(what: &str, error: impl fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

fn dialects() -> impl TypedValueParser<Value = Dialect> {
    PossibleValuesParser::new(Dialect::ALL.map(Dialect::name)).try_map(|name| name.parse::<Dialect>())
}

fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
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

pub(crate) fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Ddl(ddl) => self::ddl(&ddl),
        Command::Migration(migration) => self::migration(&migration),
        #[cfg(feature = "live")]
        Command::Check(check) => live::run(check),
        #[cfg(feature = "live")]
        Command::Stats(stats) => live::run(stats),
        #[cfg(feature = "live")]
        Command::Sweep(sweep) => live::run(sweep),
    };
    done.unwrap_or_else(|Failure(text)| {
        eprintln!("error: {text}");
        ExitCode::from(2)
    })
}

fn ddl(arguments: &Ddl) -> Result<ExitCode, Failure> {
    let table = arguments.text.table()?;
    let version = arguments.version.unwrap_or(IDEMPOTENCY.latest());
    let text = table.ddl(arguments.text.dialect, version).map_err(|error| Failure::new("--version", error))?;
    match table.create_schema() {
        Some(schema) if arguments.text.dialect == Dialect::Postgres => print(&format!("{schema}\n\n{text}")),
        _ => print(&text),
    }
}

fn migration(arguments: &MigrationArgs) -> Result<ExitCode, Failure> {
    let MigrationArgs { format, from, to, out, number, text } = arguments;
    let table = text.table()?;
    let migration = Migration::new(&table, text.dialect, *from, to.unwrap_or(IDEMPOTENCY.latest()))
        .map_err(|error| Failure::new("--from, --to", error))?;
    let number = match number {
        Some(number) => number.clone(),
        None if format.is_numbered_by_time() => number::now(),
        None => files::next_number(out.as_deref())?,
    };
    let files = migration.files(*format, &number).map_err(|error| Failure::new("--table, --schema", error))?;
    match out {
        Some(directory) => {
            let written = files::write(directory, &files)?;
            let lines: Vec<_> = written.iter().map(|path| path.display().to_string()).collect();
            print(&(lines.join("\n") + "\n"))
        }
        None if files.len() == 1 => print(&files.iter().map(|file| file.text.as_str()).collect::<String>()),
        None => {
            let all: Vec<_> = files.iter().map(|file| format!("-- {}\n{}", file.path, file.text)).collect();
            print(&all.join("\n"))
        }
    }
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // `| head` has read enough, and that is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new("cannot write to stdout", error)),
    }
}
