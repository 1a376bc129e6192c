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
/// the files of a migration tool, tells whether a database has what the services expect, and looks after single
/// records.
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
  Valkey or Redis at REDIS_URL:   cratestack-schema check --redis-url
  What is stuck?                  cratestack-schema list --longer-than 10m
  One key of a log line:          cratestack-schema show --key-hash d77da8028f3c5a13
  Its process is gone:            cratestack-schema release --key-hash d77da8028f3c5a13 --yes
  A customer leaves:              cratestack-schema forget --principal 42 --principal-as integer --yes
  A name of your own:             cratestack-schema ddl --schema payments --table \"Idempotency Keys\"
  Many writes:                    cratestack-schema ddl --partitions 16

Exit codes:
  0  done, or what would be done is said; `check` found nothing
  1  `check` found differences, which it lists on stdout; `show`, `release` and `forget` found no such record
  2  the command could not be carried out; stderr says why
  3  `release` or `forget` refused: what was meant runs, has finished, has changed, or is more than one record

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
    /// Without --out the files are printed, one after the other. Files that exist are never overwritten, and what the
    /// folder has already is not written again. On Postgres the migration gives up after a second of waiting for a
    /// lock, so that it never stops traffic for longer.
    Migration(offline::Migration),
    /// Compare a database with what the program expects: exit code 0, or 1 and a list
    ///
    /// Reads the catalogue only, as the role that connects; connect as the service does to see whether it has its
    /// rights. With --redis-url it is servers of Valkey and Redis that are compared; nothing is written there.
    #[cfg(feature = "live")]
    Check(live::Check),
    /// Count the rows: in flight, past their lease, expired; sizes and age
    ///
    /// Reads the whole table once. With --redis-url, all keys of the servers, by SCAN, and leaves them half of their
    /// time.
    #[cfg(feature = "live")]
    Stats(live::Stats),
    /// Delete what has expired, in batches
    ///
    /// Services sweep by themselves; this is for a table that was left unswept. Safe beside them: they share the work.
    #[cfg(feature = "live")]
    Sweep(live::Sweep),
    /// Show the record of a key: its state, its times, its attempt, never what the response held unless asked
    ///
    /// By the key, or by the hash that a log line or an event has of it. Key and principal are shown hashed, as logs
    /// have them; --names shows them in clear, --response the recorded headers and body.
    #[cfg(feature = "live")]
    Show(live::Show),
    /// List records, the oldest first: by default what is in flight or past its lease
    #[cfg(feature = "live")]
    List(live::List),
    /// Give a reservation back that has no outcome, so that any request may run under its key
    ///
    /// For one whose process is gone and whose own request will not come again. Its effect may have happened: look
    /// before you do this. What has finished is refused, and so is what runs within its lease, unless you say
    /// --even-if-running. Without --yes nothing is changed.
    #[cfg(feature = "live")]
    Release(live::Removals),
    /// Delete one record, or all of a principal: a retry is then a new request
    ///
    /// With --key or --key-hash one record; without, all of --principal or --principal-hash, which erases a customer.
    /// What runs within its lease stays, unless you say --even-if-running. Services that keep an outcome in memory drop
    /// it about a second later. Without --yes nothing is changed.
    #[cfg(feature = "live")]
    Forget(live::Removals),
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
        #[cfg(feature = "live")]
        Command::Show(show) => live::run(show.run()),
        #[cfg(feature = "live")]
        Command::List(list) => live::run(list.run()),
        #[cfg(feature = "live")]
        Command::Release(removals) => live::run(removals.release()),
        #[cfg(feature = "live")]
        Command::Forget(removals) => live::run(removals.forget()),
    };
    done.unwrap_or_else(Failure::tell)
}
