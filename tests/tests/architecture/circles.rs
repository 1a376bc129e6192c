//! Files that need each other: the strongly connected parts of the graph of imports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::package::Import;

/// Each circle as a text that names its files and what ties them.
pub fn circles(imports: &[Import]) -> Vec<String> {
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports.iter().filter(|import| !import.passes_on && import.from != import.to) {
        graph.entry(&import.from).or_default().insert(&import.to);
        graph.entry(&import.to).or_default();
    }
    let reach: BTreeMap<&str, BTreeSet<&str>> = graph.keys().map(|file| (*file, reachable(&graph, file))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for file in graph.keys() {
        let part: BTreeSet<&str> = reach[file].iter().copied().filter(|other| reach[other].contains(file)).collect();
        if !part.is_empty() && seen.insert(part.clone()) {
            circles.push(describe(&part, imports));
        }
    }
    circles
}

/// What can be got to from here by at least one import.
fn reachable<'a>(graph: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = graph[from].iter().copied().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(&graph[file]);
        }
    }
    reached
}

fn describe(part: &BTreeSet<&str>, imports: &[Import]) -> String {
    let mut ties: BTreeMap<(&str, &str), BTreeMap<&str, usize>> = BTreeMap::new();
    for import in imports.iter().filter(|import| !import.passes_on && import.from != import.to) {
        if part.contains(&*import.from) && part.contains(&*import.to) {
            let lines = ties.entry((&import.from, &import.to)).or_default();
            lines.entry(&import.written).or_insert(import.line);
        }
    }
    let mut text = format!("a circle of {} files:", part.len());
    for ((from, to), names) in ties {
        let names: Vec<String> = names.iter().map(|(name, line)| format!("{name} (line {line})")).collect();
        let _ = write!(text, "\n  {from} → {to}: {}", names.join(", "));
    }
    text
}
