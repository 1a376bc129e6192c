//! What idempotency costs with `cratestack-runtime`, beside published peers and bounds, on one server in one run.
//!
//! ```console
//! cargo peers                        # everything but growth
//! cargo peers --only store --rounds 3
//! cargo peers --only store --rtt 0 --rtt 5ms
//! cargo peers --only growth --rows 1000000
//! ```

mod crowd;
mod figure;
mod figures;
mod footprint;
mod growth;
#[path = "../../src/keeper.rs"]
#[allow(dead_code, clippy::pedantic, clippy::unwrap_used)]
mod keeper;
mod load;
mod network;
#[path = "../../src/packages.rs"]
#[allow(dead_code, clippy::pedantic, clippy::unwrap_used)]
mod packages;
mod plot;
#[path = "../../src/postgres/mod.rs"]
#[allow(dead_code, unused_imports, clippy::pedantic, clippy::unwrap_used)]
mod postgres;
#[path = "../../src/proxy.rs"]
#[allow(dead_code, clippy::pedantic, clippy::unwrap_used)]
mod proxy;
#[path = "../../src/redis/mod.rs"]
#[allow(dead_code, unused_imports, clippy::pedantic, clippy::unwrap_used)]
mod redis_servers;
mod report;
mod sample;
mod server;
mod traffic;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use crate::figure::{Figure, Setting};
use crate::network::{Network, RoundTrip};
// The included module's own tests name it here.
use crate::postgres::PostgresServer;
#[cfg(test)]
use crate::postgres::TestDatabase;
// As the modules of the servers name them.
use crate::proxy::{Proxy, Way};
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
    /// Prints the tables of docs/performance.md instead.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Figures whose name begins so.
    #[arg(long)]
    only: Vec<String>,
    /// Prints JSON to stdout; the table then goes to stderr.
    #[arg(long)]
    json: bool,
    /// Three rounds of half a second: whether it works, not what it comes to.
    #[arg(long)]
    quick: bool,
    /// Connections of each pool.
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// Round trips to the server, each a row of every figure that has one: 0 is the loopback as it is, more is a proxy
    /// that holds back what passes. 500us, 3ms.
    #[arg(long, value_name = "TIME", default_values = ["0", "1ms", "3ms"])]
    rtt: Vec<RoundTrip>,
    /// Live rows of `growth`.
    #[arg(long, default_value_t = 10_000_000)]
    rows: usize,
    /// Makes this process a client of a figure that has several: it is told by its parent what to do.
    #[arg(long, hide = true)]
    client: Option<crowd::Side>,
    #[arg(long, hide = true)]
    url: Option<String>,
    #[arg(long, hide = true)]
    callers: Option<usize>,
    /// A database for `growth-rows` and `growth-sweep` on a server of your own: filled where it has fewer than `--rows`
    /// rows, and kept for the next run. `growth-sweep` leaves expired rows behind that it had no time to sweep.
    #[arg(long, value_name = "URL")]
    grown: Option<String>,
    /// Draws the plot of the `store` figures into this file.
    #[arg(long)]
    plot: Option<PathBuf>,
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
    if let Some(side) = options.client {
        return crowd::client(side, options).await;
    }
    let (rounds, lasting) = if options.quick {
        (3, Duration::from_millis(500))
    } else {
        (options.rounds, Duration::from_secs_f64(options.seconds))
    };
    let near = Setting { rounds, lasting, rtt: RoundTrip::default() };
    let (mut outcomes, mut facts) = (Vec::new(), Vec::new());
    if options.wants_group("growth") && !options.only.is_empty() {
        growth::growth(options, near, &mut outcomes, &mut facts).await?;
    }
    let server = server::start(server::options()).await?;
    for group in GROUPS.into_iter().filter(|group| options.wants_group(group)) {
        let has_server = !GROUPS_WITHOUT_SERVER.contains(&group);
        let round_trips = if has_server { options.rtt.clone() } else { vec![near.rtt] };
        for rtt in round_trips {
            let network = Network::start((Ipv4Addr::LOCALHOST, server.port()).into(), rtt)?;
            let setting = Setting { rtt, ..near };
            for figure in figures(group, &server, &network, options.connections).await? {
                if options.wants(&figure.name_over(rtt)) {
                    outcomes.push(figure.measure(setting).await?);
                }
            }
        }
    }
    if let Some(path) = &options.plot {
        std::fs::write(path, plot::svg(&outcomes)?)?;
    }
    let report = report::Report { outcomes, facts };
    if options.json {
        eprint!("{report}");
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else if options.markdown {
        eprint!("{report}");
        print!("{}", report.markdown()?);
    } else {
        print!("{report}");
    }
    Ok(())
}

/// Figures that share what was set up for them; the names of all of them begin with the group's.
const GROUPS: [&str; 12] = [
    "store",
    "replay",
    "transaction",
    "guard",
    "request-memory",
    "request",
    "body",
    "crowd",
    "sqlite",
    "step",
    // Last, as what is known of the server is then known of Redis.
    "redis",
    "redis-cluster",
];

/// What these measure is in this process, or is no matter of the way to the server.
const GROUPS_WITHOUT_SERVER: [&str; 4] = ["guard", "request-memory", "sqlite", "redis-cluster"];

async fn figures(group: &str, server: &PostgresServer, network: &Network, connections: u32) -> Fallible<Vec<Figure>> {
    if group == "guard" {
        return Ok(figures::guard().into_iter().chain([figures::function()]).collect());
    }
    match group {
        "redis" => return figures::redis(network.rtt()).await,
        "redis-cluster" => return figures::cluster().await,
        _ => {}
    }
    if group == "request-memory" {
        return Ok(vec![figures::request_in_memory()]);
    }
    if group == "sqlite" {
        return figures::sqlite().await;
    }
    let ours = Arc::new(Ours::create(server, network, connections).await?);
    let theirs = Arc::new(Theirs::create(server, network, connections).await?);
    match group {
        "store" => Ok(figures::store(&ours, &theirs)),
        "replay" => {
            let seen = figures::seen(Arc::clone(&ours), Arc::clone(&theirs));
            Ok([vec![seen], figures::replay(ours, theirs).await?].into_iter().flatten().collect())
        }
        "transaction" => Ok(figures::transaction(&ours, &theirs)),
        "step" => Ok(figures::step(&ours)),
        "request" => Ok(figures::requests(&ours, &theirs)),
        "body" => figures::bodies(&ours, &theirs).await,
        _ => crowd::crowd(&ours, &theirs, connections).await,
    }
}

impl Options {
    fn wants_group(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.starts_with(group) || group.starts_with(only.as_str()))
    }

    fn wants(&self, figure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| figure.starts_with(only.as_str()))
    }
}
