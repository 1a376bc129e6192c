//! What the bank's handlers did, one line for each begin and each end of a run, in the order that they happened. It
//! lies in a file: like a provider's books it knows nothing of the database, or of the way to it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The file that the processes of a fleet append to.
#[derive(Debug)]
pub struct Ledger {
    file: PathBuf,
}

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A handler has begun.
    Begun(Run),
    /// A handler has ended, or was dropped.
    Ended(Run),
    /// A process did nothing for that long, as the machine had other things to do.
    Stalled(Duration),
}

/// One run of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Which process it was in.
    pub process: u32,
    /// Its name, in the header `x-run` of its answer.
    pub name: String,
    /// Of which key.
    pub key: String,
    /// The amount that it charged.
    pub amount: i64,
}

impl Ledger {
    /// An empty one in this directory.
    ///
    /// # Panics
    /// When the file cannot be made.
    pub fn create(directory: &Path, name: &str) -> Self {
        let file = directory.join(name);
        fs::write(&file, "").unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self { file }
    }

    /// For [`Setup::ledger`](super::Setup::ledger).
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All entries so far.
    ///
    /// # Panics
    /// When there are lines that no bank writes.
    pub fn entries(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.file).expect("the ledger can be read");
        // A line that is being written is none yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| parse(line).unwrap_or_else(|| panic!("the ledger has a line {line:?}"))).collect()
    }

    /// The runs of a key, in the order that they began.
    pub fn runs(&self, key: &str) -> Vec<Run> {
        let begun = self.entries().into_iter().filter_map(|entry| match entry {
            Entry::Begun(run) if run.key == key => Some(run),
            _ => None,
        });
        begun.collect()
    }

    /// The longest that a process stalled.
    pub fn longest_stall(&self) -> Duration {
        let stalls = self.entries().into_iter().filter_map(|entry| match entry {
            Entry::Stalled(took) => Some(took),
            _ => None,
        });
        stalls.max().unwrap_or_default()
    }
}

fn parse(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    if kind == "stalled" {
        return Some(Entry::Stalled(Duration::from_millis(words.next()?.parse().ok()?)));
    }
    let run = Run {
        process: words.next()?.parse().ok()?,
        name: words.next()?.to_owned(),
        key: words.next()?.to_owned(),
        amount: words.next()?.parse().ok()?,
    };
    match kind {
        "begun" => Some(Entry::Begun(run)),
        "ended" => Some(Entry::Ended(run)),
        _ => None,
    }
}
