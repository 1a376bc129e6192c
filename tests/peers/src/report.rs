//! The table.

use std::fmt::Write as _;

use crate::figure::Outcome;

/// For people, in monospace.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let _ = writeln!(text, "{} ({})", outcome.title, outcome.name);
        for contender in &outcome.contenders {
            let _ = write!(
                text,
                "  {:<34} {:>10.0}/s   p50 {:>9} p99 {:>9}",
                contender.name,
                contender.throughput.median,
                duration(contender.p50.median),
                duration(contender.p99.median),
            );
            if let Some(cpu) = contender.cpu {
                let _ = write!(text, "   cpu {:.1} us", cpu.median);
            }
            if let Some(allocations) = contender.allocations {
                let _ = write!(text, "   {:.1} allocations", allocations.median);
            }
            text.push('\n');
        }
        for line in &outcome.lines {
            let quantity = format!("{:?}", line.quantity).to_lowercase();
            let _ = write!(
                text,
                "  {:<34} {:>8.2} {:<2}  (min {:.2}, max {:.2})",
                format!("{quantity} against {}", line.against),
                line.spread.median,
                line.unit,
                line.spread.min,
                line.spread.max,
            );
            if let (Some(bound), Some(met)) = (&line.bound, line.met) {
                let _ = write!(text, "   bound {bound}: {}", if met { "met" } else { "MISSED" });
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

fn duration(micros: f64) -> String {
    if micros >= 1_000.0 { format!("{:.2} ms", micros / 1_000.0) } else { format!("{micros:.1} us") }
}
