//! The command line of `cratestack-schema`: data on stdout, talk on stderr.

#![forbid(unsafe_code)]
mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
