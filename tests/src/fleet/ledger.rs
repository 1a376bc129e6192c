//! What the bank's handlers did, one line for each begin and each end of a run, in the order that they happened. It
//! lies in a file: like a provider's books it knows nothing of the database, or of the way to it.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};

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
    /// The store has confirmed the outcome of a key.
    Recorded {
        /// To which process.
        process: u32,
        /// The key, as events name it ([`digest`](Ledger::digest)).
        digest: String,
    },
    /// A run, or a harness that looked into the database, tells of a step.
    Step(StepEntry),
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

/// How far a run has got with a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEntry {
    /// Which process the run was in; 0 for a harness.
    pub process: u32,
    /// The run's name.
    pub run: String,
    /// Of which key.
    pub key: String,
    /// What the run calls the step.
    pub step: String,
    /// How far.
    pub stage: Stage,
    /// The step's value, once it is known.
    pub value: String,
}

/// How far a run has got with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its closure has begun.
    Begun,
    /// Its closure has done what it does.
    Done,
    /// The step is recorded.
    Recorded,
    /// The step was recorded by an earlier attempt.
    Skipped,
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

    /// How an event names a key: the first 16 hexadecimal digits of its SHA-256.
    pub fn digest(key: &str) -> String {
        Sha256::digest(key).iter().take(8).fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
    }

    /// For [`Setup::ledger`](super::Setup::ledger).
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Takes down that these steps, each a key and a name, were seen in the database.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn saw_recorded(&self, steps: &[(String, String)]) {
        let mut file = OpenOptions::new().append(true).open(&self.file).expect("the ledger is there");
        for (key, step) in steps {
            let line = format!("step 0 harness {key} {step} recorded\n");
            file.write_all(line.as_bytes()).expect("the ledger can be written");
        }
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

    /// All that is told of a key, as it stands there.
    ///
    /// # Panics
    /// When the file cannot be read.
    pub fn lines_of(&self, key: &str) -> Vec<String> {
        let text = fs::read_to_string(&self.file).expect("the ledger can be read");
        let of_key = |line: &&str| line.split(' ').any(|word| word == key);
        text.lines().filter(of_key).map(str::to_owned).collect()
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
    if kind == "recorded" {
        return Some(Entry::Recorded { process: words.next()?.parse().ok()?, digest: words.next()?.to_owned() });
    }
    if kind == "step" {
        return parse_step(words);
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

fn parse_step<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Entry> {
    Some(Entry::Step(StepEntry {
        process: words.next()?.parse().ok()?,
        run: words.next()?.to_owned(),
        key: words.next()?.to_owned(),
        step: words.next()?.to_owned(),
        stage: match words.next()? {
            "begun" => Stage::Begun,
            "done" => Stage::Done,
            "recorded" => Stage::Recorded,
            "skipped" => Stage::Skipped,
            _ => return None,
        },
        value: words.next().unwrap_or_default().to_owned(),
    }))
}
