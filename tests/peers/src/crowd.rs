//! Clients that are processes of their own, as the instances of a service are.
//!
//! ```text
//! parent   │ starts all ──────────────── all are ready: go ─────────────────────────── adds up what they say
//! client 1 │        connects ── ready ──────────────────┴─ warm-up, then the load ── its figures
//! client 2 │        connects ───── ready ───────────────┴─ …
//! ```

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use cratestack_runtime::async_trait;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::figure::{Contender, Figure, Limit, Measure};
use crate::figures::{our_store, their_store};
use crate::load::Load;
use crate::sample::{Quantity, Sample};
use crate::server::{Ours, Theirs};
use crate::traffic::BODY;
use crate::{Fallible, Options};

/// How many of them.
const PROCESSES: u32 = 4;

/// What a client measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    Ours,
    Theirs,
}

/// The same callers and connections as one process has, spread over several: a batch is then a process's own.
pub async fn crowd(ours: &Ours, theirs: &Theirs, connections: u32) -> Fallible<Vec<Figure>> {
    let crowd = |name: &str, side: Side, url: &str, database: Ours| {
        let (name, url, connections) = (name.to_owned(), url.to_owned(), connections / PROCESSES);
        Box::new(Crowd { name, side, url, connections, database }) as Box<dyn Contender>
    };
    Ok(vec![Figure {
        name: format!("crowd-{PROCESSES}"),
        title: format!("reserve + complete, callers: 64, spread over {PROCESSES} processes"),
        callers: 64,
        rate: None,
        contenders: vec![
            crowd("ours", Side::Ours, ours.url(), ours.again(1).await?),
            crowd("cratestack-sqlx", Side::Theirs, theirs.url(), theirs.seen_by_us().await?),
        ],
        measures: vec![
            Measure::ratio(Quantity::Throughput, Limit::AtLeast(2.5)),
            Measure::ratio(Quantity::P50, None),
            Measure::ratio(Quantity::P99, None),
        ],
    }])
}

struct Crowd {
    name: String,
    side: Side,
    url: String,
    /// Of each process.
    connections: u32,
    /// To empty it.
    database: Ours,
}

#[async_trait]
impl Contender for Crowd {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn prepare(&self) -> Fallible {
        self.database.empty().await
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let mut clients = Vec::new();
        for _ in 0..PROCESSES {
            clients.push(self.start(load)?);
        }
        for client in &mut clients {
            client.is_ready().await?;
        }
        for client in &mut clients {
            client.go().await?;
        }
        let mut samples = Vec::new();
        for client in clients {
            samples.push(client.sample().await?);
        }
        Ok(Sample::together(&samples))
    }
}

impl Crowd {
    fn start(&self, load: Load) -> Fallible<Client> {
        let side = self.side.to_possible_value().ok_or("a side has a name")?;
        let process = Command::new(std::env::current_exe()?)
            .args(["--client", side.get_name(), "--url", &self.url])
            .args(["--callers", &(load.callers / PROCESSES as usize).to_string()])
            .args(["--connections", &self.connections.to_string()])
            .args(["--seconds", &load.lasting.as_secs_f64().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Client::new(process)
    }
}

/// A process that is a client, as its parent sees it.
struct Client {
    process: Child,
    says: BufReader<tokio::process::ChildStdout>,
}

impl Client {
    fn new(mut process: Child) -> Fallible<Self> {
        let says = process.stdout.take().ok_or("a client has an output")?;
        Ok(Self { process, says: BufReader::new(says) })
    }

    async fn is_ready(&mut self) -> Fallible {
        let mut line = String::new();
        self.says.read_line(&mut line).await?;
        if line.trim_end() == READY { Ok(()) } else { Err("a client ended before it was ready".into()) }
    }

    async fn go(&mut self) -> Fallible {
        // Dropped, it is at its end, which the client does not wait for.
        let mut hears = self.process.stdin.take().ok_or("a client has an input")?;
        Ok(hears.write_all(b"go\n").await?)
    }

    async fn sample(mut self) -> Fallible<Sample> {
        let mut text = String::new();
        self.says.read_to_string(&mut text).await?;
        if self.process.wait().await?.success() {
            Ok(serde_json::from_str(&text)?)
        } else {
            Err("a client has failed".into())
        }
    }
}

const READY: &str = "ready";

/// What a client does: connects, waits until all others are there, puts its part of the load on the server, and says what
/// it came to.
pub async fn client(side: Side, options: &Options) -> Fallible {
    let url = options.url.as_deref().ok_or("a client is told where its server is")?;
    let callers = options.callers.ok_or("a client is told how many callers it has")?;
    let contender = match side {
        Side::Ours => our_store("ours", Arc::new(Ours::at(url, options.connections).await?), true, &BODY),
        Side::Theirs => their_store(Arc::new(Theirs::at(url, options.connections).await?), &BODY),
    };
    println!("{READY}");
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await?;
    let load = Load { callers, lasting: Duration::from_secs_f64(options.seconds), rate: None };
    println!("{}", serde_json::to_string(&contender.run(load).await?)?);
    Ok(())
}
