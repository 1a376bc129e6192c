//! What idempotency costs with `cratestack-runtime`, beside published peers and bounds, on one server in one run.
//!
//! ```console
//! cargo peers                        # everything but growth
//! cargo peers --only store --rounds 3
//! cargo peers --only growth --rows 1000000
//! ```

mod figure;
mod figures;
mod load;
#[path = "../../src/postgres/mod.rs"]
#[allow(dead_code, clippy::pedantic, clippy::unwrap_used)]
mod postgres;
mod report;
mod sample;
mod server;
mod traffic;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use crate::figure::Figure;
use crate::postgres::PostgresServer;
use crate::server::{Ours, Theirs};

type Fallible<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures ours and its peers in turns. The table goes to stdout, progress to stderr.
#[derive(Debug, Parser)]
struct Options {
    /// How often each contender of a figure runs.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long each run is, not counting its warm-up.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Figures whose name begins so.
    #[arg(long)]
    only: Vec<String>,
    /// Prints JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Three rounds of half a second: whether it works, not what it comes to.
    #[arg(long)]
    quick: bool,
    /// Connections of each pool.
    #[arg(long, default_value_t = 32)]
    connections: u32,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(measure(&options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> Fallible {
    let (rounds, lasting) = if options.quick {
        (3, Duration::from_millis(500))
    } else {
        (options.rounds, Duration::from_secs_f64(options.seconds))
    };
    let server = server::start().await;
    let mut outcomes = Vec::new();
    for group in [Group::Store, Group::Replay, Group::Guard, Group::Request] {
        if options.wants_group(group) {
            for figure in group.figures(&server, options.connections).await? {
                if options.wants(&figure.name) {
                    outcomes.push(figure.measure(rounds, lasting).await?);
                }
            }
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
    } else {
        print!("{}", report::table(&outcomes));
    }
    Ok(())
}

/// Figures that share what was set up for them; the names of all of them begin with the group's.
#[derive(Debug, Clone, Copy)]
enum Group {
    Store,
    Replay,
    Guard,
    Request,
}

impl Group {
    fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Replay => "replay",
            Self::Guard => "guard",
            Self::Request => "request",
        }
    }

    async fn figures(self, server: &PostgresServer, connections: u32) -> Fallible<Vec<Figure>> {
        if let Self::Guard = self {
            return Ok(figures::guard());
        }
        let ours = Arc::new(Ours::create(server, connections).await?);
        let theirs = Arc::new(Theirs::create(server, connections).await?);
        match self {
            Self::Replay => figures::replay(ours, theirs).await,
            Self::Request => Ok(figures::requests(&ours, &theirs)),
            Self::Store | Self::Guard => Ok(figures::store(&ours, &theirs)),
        }
    }
}

impl Options {
    fn wants_group(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.starts_with(group.name()))
    }

    fn wants(&self, figure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| figure.starts_with(only.as_str()))
    }
}
