//! The command line of `cratestack-schema`: data on stdout, talk on stderr.

#![forbid(unsafe_code)]
#[cfg(feature = "live")]
mod live;
mod offline;
mod options;
mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::output::Failure;

/// The idempotency table of cratestack-runtime, for whoever creates, migrates and watches databases.
///
/// Services keep their idempotency keys in one table. This command prints what creates and upgrades it, as SQL or as
/// the files of a migration tool, and tells whether a database has what the services expect.
#[derive(Parser)]
#[command(name = "cratestack-schema", version, after_help = EXAMPLES, after_long_help = LONG)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cratestack-schema ddl | psql \"$DATABASE_URL\"
  cratestack-schema migration --format sqlx --out migrations
  cratestack-schema check --database-url \"$DATABASE_URL\"

Inside the workspace, `cargo task` stands for `cratestack-schema`: cargo task ddl";

const LONG: &str = "\
Examples:
  A new database, by hand:        cratestack-schema ddl | psql \"$DATABASE_URL\"
  A new SQLite file:              cratestack-schema ddl --dialect sqlite | sqlite3 app.db
  A new database, by a tool:      cratestack-schema migration --format sqlx --out migrations
  An older database:              cratestack-schema migration --from 1 --format flyway --out sql
  Is it right? (in CI, say)       cratestack-schema check --database-url \"$DATABASE_URL\"
  How is it doing?                cratestack-schema stats --database-url \"$DATABASE_URL\"
  A name of your own:             cratestack-schema ddl --schema payments --table \"Idempotency Keys\"
  Many writes:                    cratestack-schema ddl --partitions 16

Exit codes:
  0  done; `check` found nothing
  1  `check` found differences, which it lists on stdout
  2  the command could not be carried out; stderr says why

NO_COLOR turns colours off. Inside the workspace, `cargo task` stands for `cratestack-schema`: cargo task ddl";

#[derive(Subcommand)]
enum Command {
    /// Print the SQL that creates the table
    ///
    /// For Postgres the text creates the table or upgrades an older one in place; applying it again does nothing.
    /// For SQLite it is for a database without the table; `migration --dialect sqlite --from 1` upgrades an older one.
    Ddl(offline::Ddl),
    /// Write the migration that creates or upgrades the table, as files of a migration tool
    ///
    /// Without --out the files are printed, one after the other. Files that exist are never overwritten. On Postgres
    /// the migration gives up after a second of waiting for a lock, so that it never stops traffic for longer.
    Migration(offline::Migration),
    /// Compare a database with what the program expects: exit code 0, or 1 and a list
    ///
    /// Reads the catalogue only, as the role that connects; connect as the service does to see whether it has its
    /// rights.
    #[cfg(feature = "live")]
    Check(live::Check),
    /// Count the rows: in flight, past their lease, expired; sizes and age
    ///
    /// Reads the whole table once.
    #[cfg(feature = "live")]
    Stats(live::Stats),
    /// Delete what has expired, in batches
    ///
    /// Services sweep by themselves; this is for a table that was left unswept. Safe beside them: they share the work.
    #[cfg(feature = "live")]
    Sweep(live::Sweep),
}

fn main() -> ExitCode {
    let done: Result<ExitCode, Failure> = match Cli::parse().command {
        Command::Ddl(ddl) => ddl.run(),
        Command::Migration(migration) => migration.run(),
        #[cfg(feature = "live")]
        Command::Check(check) => live::run(check.run()),
        #[cfg(feature = "live")]
        Command::Stats(stats) => live::run(stats.run()),
        #[cfg(feature = "live")]
        Command::Sweep(sweep) => live::run(sweep.run()),
    };
    done.unwrap_or_else(Failure::tell)
}
