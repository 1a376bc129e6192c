//! What a run came to, for people and for machines.

use std::fmt;

use serde::Serialize;

use crate::figure::Outcome;

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub outcomes: Vec<Outcome>,
    pub facts: Vec<Fact>,
}

/// Something that was counted, and not timed.
#[derive(Debug, Serialize)]
pub struct Fact {
    pub what: &'static str,
    pub of: String,
    pub value: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.outcomes {
            writeln!(text, "{} ({})", outcome.title, outcome.name)?;
            for contender in &outcome.contenders {
                write!(
                    text,
                    "  {:<34} {:>10.0}/s   p50 {:>9} p99 {:>9}",
                    contender.name,
                    contender.throughput.median,
                    duration(contender.p50.median),
                    duration(contender.p99.median),
                )?;
                if let Some(cpu) = contender.cpu {
                    write!(text, "   cpu {:.1} us", cpu.median)?;
                }
                if let Some(allocations) = contender.allocations {
                    write!(text, "   {:.1} allocations", allocations.median)?;
                }
                writeln!(text)?;
            }
            for line in &outcome.lines {
                let quantity = format!("{:?}", line.quantity).to_lowercase();
                write!(
                    text,
                    "  {:<34} {:>8.2} {:<2}  (min {:.2}, max {:.2})",
                    format!("{quantity} against {}", line.against),
                    line.spread.median,
                    line.unit,
                    line.spread.min,
                    line.spread.max,
                )?;
                if let (Some(bound), Some(met)) = (&line.bound, line.met) {
                    write!(text, "   bound {bound}: {}", if met { "met" } else { "MISSED" })?;
                }
                writeln!(text)?;
            }
            writeln!(text)?;
        }
        for fact in &self.facts {
            writeln!(text, "{:<52} {:<24} {:>14.1}", fact.what, fact.of, fact.value)?;
        }
        Ok(())
    }
}

fn duration(micros: f64) -> String {
    if micros >= 1_000.0 { format!("{:.2} ms", micros / 1_000.0) } else { format!("{micros:.1} us") }
}
