//! What a run came to, for people and for machines.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use crate::figure::{Line, Outcome};
use crate::sample::Spread;

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

impl Report {
    /// Two tables in Markdown: the comparisons, and what each contender did.
    ///
    /// # Errors
    ///
    /// None: a string takes all that is written to it.
    pub fn markdown(&self) -> Result<String, fmt::Error> {
        let mut text = "| figure | | against | median | rounds | bound | |\n|---|---|---|---|---|---|---|\n".to_owned();
        for outcome in &self.outcomes {
            for line in &outcome.lines {
                let spread = line.spread;
                let unit = match line.unit {
                    "" => String::new(),
                    "x" => " \u{d7}".to_owned(),
                    unit => format!(" {unit}"),
                };
                writeln!(
                    text,
                    "| {} | {} | {} | **{}{unit}** | {} to {} | {} | {} |",
                    outcome.title,
                    line.about(outcome),
                    line.against.as_deref().unwrap_or_default(),
                    number(spread.median),
                    number(spread.min),
                    number(spread.max),
                    line.bound.as_deref().unwrap_or_default(),
                    line.met.map_or("", |met| if met { "met" } else { "**missed**" }),
                )?;
            }
        }
        text += "\n| figure | contender | per second | p50 | p99 | CPU | the server's CPU | allocations | messages | pings | commands | \
                 bytes sent and received | bytes of memory |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
        for outcome in &self.outcomes {
            for contender in &outcome.contenders {
                let micros =
                    |spread: Option<Spread>| spread.map_or_else(String::new, |cpu| format!("{:.0} µs", cpu.median));
                writeln!(
                    text,
                    "| {} | {} | {:.0} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                    outcome.title,
                    contender.name,
                    contender.throughput.median,
                    duration(contender.p50.median),
                    duration(contender.p99.median),
                    micros(contender.cpu),
                    micros(contender.server_cpu),
                    contender.allocations.map_or_else(String::new, |count| format!("{:.0}", count.median)),
                    contender.messages.map_or_else(String::new, |count| number(count.median)),
                    contender.pings.map_or_else(String::new, |count| number(count.median)),
                    contender.commands.map_or_else(String::new, |count| number(count.median)),
                    contender.bytes.map_or_else(String::new, |count| format!("{:.0}", count.median)),
                    contender.memory.map_or_else(String::new, |count| format!("{:.0}", count.median)),
                )?;
            }
        }
        if !self.facts.is_empty() {
            text += "\n| | | |\n|---|---|---|\n";
        }
        for fact in &self.facts {
            writeln!(text, "| {} | {} | {:.0} |", fact.what, fact.of, fact.value)?;
        }
        Ok(text)
    }
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
                if let Some(cpu) = contender.server_cpu {
                    write!(text, " server {:.1} us", cpu.median)?;
                }
                if let Some(allocations) = contender.allocations {
                    write!(text, "   {:.1} allocations", allocations.median)?;
                }
                if let (Some(messages), Some(pings)) = (contender.messages, contender.pings) {
                    write!(text, "   {:.2} messages, {:.2} pings", messages.median, pings.median)?;
                }
                if let (Some(commands), Some(bytes)) = (contender.commands, contender.bytes) {
                    write!(text, "   {:.1} commands, {:.0} bytes", commands.median, bytes.median)?;
                }
                if let Some(memory) = contender.memory {
                    write!(text, ", {:.0} of memory", memory.median)?;
                }
                writeln!(text)?;
            }
            for line in &outcome.lines {
                let about = line.about(outcome);
                let against = line.against.as_ref().map_or_else(String::new, |against| format!(" against {against}"));
                write!(
                    text,
                    "  {:<34} {:>8.2} {:<2}  (min {:.2}, max {:.2})",
                    about + &against,
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

impl Line {
    /// The quantity, and whose it is where that is not the first contender's.
    fn about(&self, outcome: &Outcome) -> String {
        let quantity = self.quantity.words();
        if self.of == outcome.contenders[0].name { quantity.to_owned() } else { format!("{quantity} of {}", self.of) }
    }
}

/// With two digits after the point, or those that a small one needs.
fn number(value: f64) -> String {
    if value.abs() < 0.1 { format!("{value:.4}") } else { format!("{value:.2}") }
}

fn duration(micros: f64) -> String {
    if micros >= 1_000.0 { format!("{:.2} ms", micros / 1_000.0) } else { format!("{micros:.1} us") }
}
