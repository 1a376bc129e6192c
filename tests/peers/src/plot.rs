//! The plot of the documentation: throughput and latency over callers, as SVG that is readable on light and dark pages.

use std::fmt::Write as _;

use crate::Fallible;
use crate::figure::Outcome;
use crate::sample::Spread;

const WIDTH: f64 = 760.0;
/// The names of the contenders, above all rows.
const HEAD: f64 = 26.0;
/// Two panels side by side, for one round trip.
const ROW: f64 = 272.0;
/// What the axis is, below all rows.
const FOOT: f64 = 30.0;
const PANEL: f64 = 280.0;
/// Of a panel within its row.
const TOP: f64 = 36.0;
const BOTTOM: f64 = 240.0;
const OURS: &str = "ours";
const THEIRS: &str = "theirs";

/// Of the figures `store-…`, a row for each round trip.
///
/// # Errors
///
/// Where a run without them has nothing to draw.
pub fn svg(outcomes: &[Outcome]) -> Fallible<String> {
    let mut rows: Vec<Vec<&Outcome>> = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.name.starts_with("store-")) {
        match rows.iter_mut().find(|row| row[0].round_trip.total_cmp(&outcome.round_trip).is_eq()) {
            Some(row) => row.push(outcome),
            None => rows.push(vec![outcome]),
        }
    }
    if rows.is_empty() || rows.iter().any(|row| row.len() < 2) {
        return Err("the plot needs the figures `store`, two of them or more for each round trip".into());
    }
    let mut svg = String::new();
    #[allow(clippy::cast_precision_loss)]
    let height = HEAD + ROW * rows.len() as f64 + FOOT;
    write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Reserve and complete: throughput and 99th percentile of latency over the number of callers, for each round trip to the server">
<style>
text {{ fill: #57606a; }} .title {{ fill: #1f2328; font-weight: 600; font-size: 13px; }}
.grid {{ stroke: #d0d7de; stroke-width: 1; }}
.ours {{ stroke: #0969da; fill: none; stroke-width: 2.5; }} .ours-dot {{ fill: #0969da; }} .ours-band {{ fill: #0969da; opacity: 0.15; }} text.ours-name {{ fill: #0969da; font-weight: 600; }}
.theirs {{ stroke: #bc4c00; fill: none; stroke-width: 2.5; }} .theirs-dot {{ fill: #bc4c00; }} .theirs-band {{ fill: #bc4c00; opacity: 0.15; }} text.theirs-name {{ fill: #bc4c00; font-weight: 600; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #9198a1; }} .title {{ fill: #f0f6fc; }} .grid {{ stroke: #3d444d; }}
.ours {{ stroke: #58a6ff; }} .ours-dot, .ours-band {{ fill: #58a6ff; }} text.ours-name {{ fill: #58a6ff; }}
.theirs {{ stroke: #f0883e; }} .theirs-dot, .theirs-band {{ fill: #f0883e; }} text.theirs-name {{ fill: #f0883e; }}
}}
</style>
"#
    )?;
    writeln!(svg, r#"<text class="ours-name" x="60" y="20">cratestack-runtime</text>"#)?;
    writeln!(svg, r#"<text class="theirs-name" x="220" y="20">cratestack-sqlx 0.8.15</text>"#)?;
    for (index, row) in rows.iter_mut().enumerate() {
        row.sort_by_key(|outcome| outcome.callers);
        #[allow(clippy::cast_precision_loss)]
        let top = HEAD + ROW * index as f64;
        writeln!(svg, r#"<g transform="translate(0 {top})">"#)?;
        panels(&mut svg, row)?;
        svg.push_str("</g>\n");
    }
    writeln!(
        svg,
        r#"<text x="60" y="{}">callers, each with one key at a time; bands from the slowest to the fastest round</text>"#,
        height - 10.0
    )?;
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// Throughput and latency over one round trip.
fn panels(svg: &mut String, row: &[&Outcome]) -> std::fmt::Result {
    let callers: Vec<usize> = row.iter().map(|outcome| outcome.callers).collect();
    let of = |index: usize, of: fn(&crate::figure::Measured) -> Spread, scale: f64| -> Vec<Spread> {
        let scaled =
            |spread: Spread| Spread { min: spread.min * scale, median: spread.median * scale, max: spread.max * scale };
        row.iter().map(|outcome| scaled(of(&outcome.contenders[index]))).collect()
    };
    let way = match row[0].round_trip {
        0.0 => "on loopback".to_owned(),
        round_trip => format!("over {round_trip} ms"),
    };
    let (ours, theirs) = (of(0, |measured| measured.throughput, 1.0), of(1, |measured| measured.throughput, 1.0));
    panel(svg, 60.0, &format!("finished keys per second, {way}"), &callers, &ours, &theirs)?;
    let (ours, theirs) = (of(0, |measured| measured.p99, 0.001), of(1, |measured| measured.p99, 0.001));
    panel(svg, 440.0, &format!("p99 of the two, ms, {way}"), &callers, &ours, &theirs)
}

fn panel(
    svg: &mut String,
    left: f64,
    title: &str,
    callers: &[usize],
    ours: &[Spread],
    theirs: &[Spread],
) -> std::fmt::Result {
    let highest = ours.iter().chain(theirs).map(|spread| spread.max).fold(f64::MIN_POSITIVE, f64::max);
    let step = step(highest / 4.0);
    let top = (highest / step).ceil() * step;
    let y = |value: f64| BOTTOM - value / top * (BOTTOM - TOP);
    #[allow(clippy::cast_precision_loss)]
    let x = |index: usize| left + 16.0 + (PANEL - 32.0) * index as f64 / (callers.len() - 1) as f64;
    writeln!(svg, r#"<text class="title" x="{left}" y="{}">{title}</text>"#, TOP - 14.0)?;
    let mut value = 0.0;
    while value <= top * 1.001 {
        let at = y(value);
        writeln!(svg, r#"<line class="grid" x1="{left}" x2="{:.1}" y1="{at:.1}" y2="{at:.1}"/>"#, left + PANEL)?;
        writeln!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            left - 6.0,
            at + 4.0,
            grouped(value)
        )?;
        value += step;
    }
    for (index, callers) in callers.iter().enumerate() {
        writeln!(svg, r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{callers}</text>"#, x(index), BOTTOM + 18.0)?;
    }
    for (class, series) in [(THEIRS, theirs), (OURS, ours)] {
        let points = |of: fn(&Spread) -> f64| -> Vec<String> {
            series.iter().enumerate().map(|(index, spread)| format!("{:.1},{:.1}", x(index), y(of(spread)))).collect()
        };
        let mut band = points(|spread| spread.max);
        band.extend(points(|spread| spread.min).into_iter().rev());
        writeln!(svg, r#"<polygon class="{class}-band" points="{}"/>"#, band.join(" "))?;
        let median = points(|spread| spread.median);
        writeln!(svg, r#"<polyline class="{class}" points="{}"/>"#, median.join(" "))?;
        for point in &median {
            let (x, y) = point.split_once(',').unwrap_or_default();
            writeln!(svg, r#"<circle class="{class}-dot" cx="{x}" cy="{y}" r="3.5"/>"#)?;
        }
    }
    Ok(())
}

/// The next round number from `least` up: 1, 2 or 5 with zeros.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| *step >= least).unwrap_or(least)
}

/// With a thin space before each thousand.
fn grouped(value: f64) -> String {
    if value < 10.0 {
        return format!("{value}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (least, round) in [(1.0, 1.0), (1.1, 2.0), (4_300.0, 5_000.0), (0.03, 0.05), (7.0, 10.0)] {
            assert!((step(least) - round).abs() < 1e-9, "{least}");
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(12_000.0), "12\u{2009}000");
        assert_eq!(grouped(2.5), "2.5");
    }
}
