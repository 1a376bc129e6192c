//! The order of the runtime's folders, which imports follow downwards only.

use std::collections::{BTreeMap, BTreeSet};

use crate::package::Import;

/// From the bottom up. What stands in one row knows nothing of its neighbours.
const ORDER: [&[&str]; 7] = [
    &["util"],
    &["store"],
    &["engine", "stores", "conformance"],
    &["handle"],
    &["http", "function"],
    &["private", "testing"],
    &["lib.rs"],
];

/// Which see a store through its trait only.
const KNOW_NO_STORE: [&str; 4] = ["engine", "handle", "http", "function"];

/// The arrows that go up: a line of a file, why it is wrong, and what it imports.
pub fn arrows_up(imports: &[Import]) -> Vec<String> {
    let mut arrows: BTreeMap<(&str, usize, String), BTreeSet<&str>> = BTreeMap::new();
    for import in imports {
        if let Some(why) = wrong(import) {
            arrows.entry((&import.from, import.line, why)).or_default().insert(&import.written);
        }
    }
    let lines = arrows
        .into_iter()
        .map(|((file, line, why), names)| format!("{file}:{line}: {why}: {}", Vec::from_iter(names).join(", ")));
    lines.collect()
}

fn wrong(import: &Import) -> Option<String> {
    let from = layer(&import.from);
    // Where it is, and by which way it was asked for: a name of a lower layer that is had through a higher one goes up
    // too.
    for to in [layer(&import.to), layer(&import.named)] {
        return Some(match (rank(from), rank(to)) {
            _ if from == to => continue,
            (None, _) => format!("`{from}` has no place in the order"),
            (_, None) => format!("`{to}` has no place in the order"),
            (Some(own), Some(other)) if other > own => format!("`{to}` is above `{from}`"),
            (Some(own), Some(other)) if other == own => format!("`{to}` is beside `{from}`"),
            _ if to == "stores" && KNOW_NO_STORE.contains(&from) => format!("`{from}` knows no store"),
            _ => continue,
        });
    }
    None
}

fn layer(file: &str) -> &str {
    file.split_once('/').map_or(file, |(folder, _)| folder)
}

fn rank(layer: &str) -> Option<usize> {
    ORDER.iter().position(|row| row.contains(&layer))
}
