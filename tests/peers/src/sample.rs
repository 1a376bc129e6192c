//! What one run of one contender came to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::network::Passed;
use crate::server::Usage;

/// The figures of one run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sample {
    pub calls: usize,
    /// Per second.
    pub throughput: f64,
    /// In microseconds.
    pub p50: f64,
    /// In microseconds.
    pub p99: f64,
    /// Microseconds of a processor's time in this process, per call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// The same in all processes of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu: Option<f64>,
    /// Per call, where they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocations: Option<f64>,
    /// Messages to the server that were answered, per call, where a network was between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<f64>,
    /// The pool's pings, per call, which are not among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pings: Option<f64>,
    /// Of a server of Redis, per call; those that scripts make are among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<f64>,
    /// To and from it, per call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<f64>,
    /// Bytes of its memory for each key that the run has left there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
}

/// What was used so far, where that is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// Of a processor, by this process.
    pub cpu: Option<Duration>,
    pub server: Usage,
    /// Over the network that was between.
    pub passed: Option<Passed>,
}

impl Sample {
    /// `used` is what was used before and after.
    #[allow(clippy::cast_precision_loss)]
    pub fn new(mut latencies: Vec<Duration>, lasted: Duration, (before, after): (Used, Used)) -> Self {
        let calls = latencies.len();
        let per_call =
            |of: fn(&Used) -> Option<u64>| Some(of(&after)?.saturating_sub(of(&before)?) as f64 / calls.max(1) as f64);
        latencies.sort_unstable();
        Self {
            calls,
            throughput: calls as f64 / lasted.as_secs_f64().max(f64::EPSILON),
            p50: micros(quantile(&latencies, 0.50)),
            p99: micros(quantile(&latencies, 0.99)),
            cpu: per_call(|used| u64::try_from(used.cpu?.as_micros()).ok()),
            server_cpu: per_call(|used| u64::try_from(used.server.cpu?.as_micros()).ok()),
            allocations: None,
            messages: per_call(|used| Some(used.passed?.messages)),
            pings: per_call(|used| Some(used.passed?.pings)),
            commands: per_call(|used| used.server.commands),
            bytes: per_call(|used| used.server.bytes),
            memory: None,
        }
    }

    /// What clients that ran at the same time came to: the median is the mean of theirs, and the 99th percentile that of
    /// the slowest.
    #[allow(clippy::cast_precision_loss)]
    pub fn together(samples: &[Self]) -> Self {
        let none = Self::new(Vec::new(), Duration::ZERO, Default::default());
        samples.iter().fold(none, |sum, sample| Self {
            calls: sum.calls + sample.calls,
            throughput: sum.throughput + sample.throughput,
            p50: sum.p50 + sample.p50 / samples.len() as f64,
            p99: sum.p99.max(sample.p99),
            ..sum
        })
    }

    pub fn get(&self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::Throughput => self.throughput,
            Quantity::P50 => self.p50,
            Quantity::P99 => self.p99,
            Quantity::Cpu => self.cpu.unwrap_or(f64::NAN),
            Quantity::ServerCpu => self.server_cpu.unwrap_or(f64::NAN),
            Quantity::Allocations => self.allocations.unwrap_or(f64::NAN),
            Quantity::Messages => self.messages.unwrap_or(f64::NAN),
            Quantity::Pings => self.pings.unwrap_or(f64::NAN),
            Quantity::Commands => self.commands.unwrap_or(f64::NAN),
            Quantity::Bytes => self.bytes.unwrap_or(f64::NAN),
            Quantity::Memory => self.memory.unwrap_or(f64::NAN),
        }
    }
}

/// What can be compared of two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    Throughput,
    P50,
    P99,
    Cpu,
    ServerCpu,
    Allocations,
    Messages,
    Pings,
    Commands,
    Bytes,
    Memory,
}

impl Quantity {
    pub fn words(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Cpu => "CPU",
            Self::ServerCpu => "server's CPU",
            Self::Allocations => "allocations",
            Self::Messages => "messages",
            Self::Pings => "pings",
            Self::Commands => "commands",
            Self::Bytes => "bytes sent and received",
            Self::Memory => "bytes of memory",
        }
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000_000.0
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn quantile(sorted: &[Duration], quantile: f64) -> Duration {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Smallest, middle and largest.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => f64::NAN,
            even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        let edge = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        Self { min: edge(values.first()), median, max: edge(values.last()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let sorted: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&sorted, 0.5), Duration::from_millis(50));
        assert_eq!(quantile(&sorted, 0.99), Duration::from_millis(99));
        assert_eq!(quantile(&sorted[..1], 0.99), Duration::from_millis(1));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_spread_of_an_even_count_has_its_middle_between_two() {
        let spread = Spread::of([4.0, 1.0, 2.0, 3.0]);
        assert_eq!([spread.min, spread.median, spread.max].map(f64::to_bits), [1.0, 2.5, 4.0].map(f64::to_bits));
        assert!(Spread::of([]).median.is_nan());
    }
}
