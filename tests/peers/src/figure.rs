//! A figure: ours and its peers under one load, in rounds, and what they are held against.

use std::time::Duration;

use cratestack_runtime::async_trait;
use serde::Serialize;

use crate::Fallible;
use crate::load::Load;
use crate::network::RoundTrip;
use crate::sample::{Quantity, Sample, Spread};

/// One of those that are compared.
#[async_trait]
pub trait Contender: Send + Sync {
    fn name(&self) -> String;

    /// Puts everything back as it was before the first run. Nothing here is measured.
    async fn prepare(&self) -> Fallible {
        Ok(())
    }

    async fn run(&self, load: Load) -> Fallible<Sample>;
}

/// What ours must be, in the median.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Limit {
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
            Self::Below(limit) => value < limit,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::Below(limit) => write!(f, "< {limit}"),
        }
    }
}

/// How ours is set against a peer.
#[derive(Debug, Clone, Copy)]
pub enum Comparison {
    /// Ours divided by the peer's.
    Ratio,
    /// Ours less the peer's.
    Difference,
    /// Ours, whatever the peer's is.
    Alone,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    pub quantity: Quantity,
    pub comparison: Comparison,
    /// Which contender; ours is 0.
    pub of: usize,
    pub against: usize,
    pub limit: Option<Limit>,
    /// What it must be where [`BOUND_RTT`] is between it and the server.
    pub limit_over_network: Option<Limit>,
}

/// The bounds over a network are for one of this round trip.
const BOUND_RTT: RoundTrip = RoundTrip(Duration::from_millis(3));

impl Measure {
    pub fn ratio(quantity: Quantity, limit: impl Into<Option<Limit>>) -> Self {
        let comparison = Comparison::Ratio;
        Self { quantity, comparison, of: 0, against: 1, limit: limit.into(), limit_over_network: None }
    }

    pub fn difference(quantity: Quantity, limit: impl Into<Option<Limit>>) -> Self {
        Self { comparison: Comparison::Difference, ..Self::ratio(quantity, limit) }
    }

    pub fn alone(quantity: Quantity, limit: impl Into<Option<Limit>>) -> Self {
        Self { comparison: Comparison::Alone, against: 0, ..Self::ratio(quantity, limit) }
    }

    pub fn of(self, of: usize) -> Self {
        Self { of, ..self }
    }

    pub fn against(self, against: usize) -> Self {
        Self { against, ..self }
    }

    pub fn over_network(self, limit: Limit) -> Self {
        Self { limit_over_network: Some(limit), ..self }
    }

    /// Whether both sides have it.
    fn is_measured(&self, round: &[Sample]) -> bool {
        !round[self.of].get(self.quantity).is_nan() && !round[self.against].get(self.quantity).is_nan()
    }

    fn of_round(&self, round: &[Sample]) -> f64 {
        let (ours, peer) = (round[self.of].get(self.quantity), round[self.against].get(self.quantity));
        match self.comparison {
            Comparison::Ratio => ours / peer,
            Comparison::Difference => ours - peer,
            Comparison::Alone => ours,
        }
    }
}

/// A figure before it was measured.
pub struct Figure {
    /// What `--only` takes.
    pub name: String,
    pub title: String,
    pub callers: usize,
    pub rate: Option<f64>,
    pub contenders: Vec<Box<dyn Contender>>,
    pub measures: Vec<Measure>,
}

/// What is between the contenders of a figure and their server.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub rounds: usize,
    pub lasting: Duration,
    pub rtt: RoundTrip,
}

/// A figure that was measured.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub name: String,
    pub title: String,
    pub callers: usize,
    /// In milliseconds.
    pub round_trip: f64,
    pub contenders: Vec<Measured>,
    pub lines: Vec<Line>,
}

/// Medians of a contender over all rounds, and the rounds.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub name: String,
    pub throughput: Spread,
    pub p50: Spread,
    pub p99: Spread,
    pub cpu: Option<Spread>,
    pub server_cpu: Option<Spread>,
    pub allocations: Option<Spread>,
    pub messages: Option<Spread>,
    pub pings: Option<Spread>,
    pub commands: Option<Spread>,
    pub bytes: Option<Spread>,
    pub memory: Option<Spread>,
    pub rounds: Vec<Sample>,
}

/// A [`Measure`] over all rounds.
#[derive(Debug, Serialize)]
pub struct Line {
    pub quantity: Quantity,
    pub unit: &'static str,
    /// The contender that it is about.
    pub of: String,
    /// None where it stands alone.
    pub against: Option<String>,
    pub spread: Spread,
    pub bound: Option<String>,
    pub met: Option<bool>,
}

impl Figure {
    /// All contenders, `rounds` times, each round in the other order than the last one.
    ///
    /// # Errors
    ///
    /// When a contender fails. A figure with a hole in it is none.
    pub async fn measure(self, setting: Setting) -> Fallible<Outcome> {
        let Setting { rounds, lasting, rtt } = setting;
        let this = self.over(rtt);
        let load = Load { callers: this.callers, lasting, rate: this.rate };
        let mut samples = Vec::with_capacity(rounds);
        for round in 0..rounds {
            eprint!("{:<24} round {} of {rounds}", this.name, round + 1);
            let mut order: Vec<usize> = (0..this.contenders.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            let mut of_round = Vec::new();
            for index in order {
                let contender = &this.contenders[index];
                contender.prepare().await.map_err(|error| format!("{}, preparing: {error}", contender.name()))?;
                let sample = contender.run(load).await.map_err(|error| format!("{}: {error}", contender.name()))?;
                eprint!(" | {} {:.0}/s", contender.name(), sample.throughput);
                of_round.push((index, sample));
            }
            eprintln!();
            of_round.sort_by_key(|(index, _)| *index);
            samples.push(of_round.into_iter().map(|(_, sample)| sample).collect());
        }
        Ok(this.judge(&samples, rtt))
    }

    /// What it is called where a network is between.
    pub fn name_over(&self, rtt: RoundTrip) -> String {
        if rtt.is_loopback() { self.name.clone() } else { format!("{}-{rtt}", self.name) }
    }

    /// The figure where a network is between, with the bounds that hold there.
    fn over(mut self, rtt: RoundTrip) -> Self {
        if !rtt.is_loopback() {
            self.name = self.name_over(rtt);
            self.title = format!("{}, a round trip of {rtt}", self.title);
            for measure in &mut self.measures {
                measure.limit = measure.limit_over_network.filter(|_| rtt == BOUND_RTT);
            }
        }
        self
    }

    fn judge(self, rounds: &[Vec<Sample>], rtt: RoundTrip) -> Outcome {
        let names: Vec<String> = self.contenders.iter().map(|contender| contender.name()).collect();
        let measured = self.measures.iter().filter(|measure| measure.is_measured(&rounds[0]));
        let lines = measured.map(|measure| {
            let spread = Spread::of(rounds.iter().map(|round| measure.of_round(round)));
            Line {
                quantity: measure.quantity,
                unit: match (measure.comparison, measure.quantity) {
                    (Comparison::Ratio, _) => "x",
                    (_, Quantity::P50 | Quantity::P99 | Quantity::Cpu | Quantity::ServerCpu) => "µs",
                    (_, Quantity::Throughput) => "/s",
                    _ => "",
                },
                of: names[measure.of].clone(),
                against: (measure.of != measure.against).then(|| names[measure.against].clone()),
                spread,
                bound: measure.limit.map(|limit| limit.to_string()),
                met: measure.limit.map(|limit| limit.is_met(spread.median)),
            }
        });
        let lines = lines.collect();
        let contenders = names.iter().enumerate().map(|(index, name)| {
            let rounds: Vec<Sample> = rounds.iter().map(|round| round[index]).collect();
            let spread = |quantity| Spread::of(rounds.iter().map(|sample| sample.get(quantity)));
            Measured {
                name: name.clone(),
                throughput: spread(Quantity::Throughput),
                p50: spread(Quantity::P50),
                p99: spread(Quantity::P99),
                cpu: rounds[0].cpu.map(|_| spread(Quantity::Cpu)),
                server_cpu: rounds[0].server_cpu.map(|_| spread(Quantity::ServerCpu)),
                allocations: rounds[0].allocations.map(|_| spread(Quantity::Allocations)),
                messages: rounds[0].messages.map(|_| spread(Quantity::Messages)),
                pings: rounds[0].pings.map(|_| spread(Quantity::Pings)),
                commands: rounds[0].commands.map(|_| spread(Quantity::Commands)),
                bytes: rounds[0].bytes.map(|_| spread(Quantity::Bytes)),
                memory: rounds[0].memory.map(|_| spread(Quantity::Memory)),
                rounds,
            }
        });
        let contenders = contenders.collect();
        let round_trip = rtt.0.as_secs_f64() * 1_000.0;
        Outcome { name: self.name, title: self.title, callers: self.callers, round_trip, contenders, lines }
    }
}
