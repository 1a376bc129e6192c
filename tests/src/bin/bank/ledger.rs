//! Where the runs of handlers are reported, so that a harness can count them whatever becomes of the database.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    process,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crate::order::run;

/// A file that several processes append to; where there is none, nothing is reported.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    file: Option<Arc<File>>,
}

/// A handler that runs; its end is reported when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    ledger: Ledger,
    name: String,
    key: String,
    line: String,
}

/// How far a run has got with a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage<'a> {
    /// Its closure has begun.
    Begun,
    /// Its closure has done what it does; this came of it.
    Done(&'a str),
    /// The step has ended, with this value, and so it is recorded.
    Recorded(&'a str),
    /// The step has given this value, which an earlier attempt recorded.
    Skipped(&'a str),
}

const LOOKS: Duration = Duration::from_millis(10);
const STALLED: Duration = Duration::from_millis(80);

impl Ledger {
    pub(crate) fn open() -> io::Result<Self> {
        let Some(path) = env::var_os("LEDGER") else { return Ok(Self { file: None }) };
        let ledger = Self { file: Some(Arc::new(OpenOptions::new().append(true).open(path)?)) };
        let reports = ledger.clone();
        thread::spawn(move || reports.report_stalls());
        Ok(ledger)
    }

    pub(crate) fn begin(&self, key: &str, amount: i64) -> Running {
        let name = run().1;
        let line = format!("{} {name} {key} {amount}", process::id());
        self.append(&format!("begun {line}\n"));
        Running { ledger: self.clone(), name, key: key.to_owned(), line }
    }

    /// Reports that the store has confirmed the outcome of a key, which an event names by its digest.
    pub(crate) fn recorded(&self, digest: &str) {
        self.append(&format!("recorded {} {digest}\n", process::id()));
    }

    /// One write for each line: the lines of several processes do not mix.
    fn append(&self, line: &str) {
        if let Some(mut file) = self.file.as_deref() {
            file.write_all(line.as_bytes()).expect("the ledger can be written");
        }
    }

    fn report_stalls(&self) -> ! {
        loop {
            let asleep = Instant::now();
            thread::sleep(LOOKS);
            let stalled = asleep.elapsed().saturating_sub(LOOKS);
            if stalled > STALLED {
                self.append(&format!("stalled {}\n", stalled.as_millis()));
            }
        }
    }
}

impl Running {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reports how far it is with a step.
    pub(crate) fn tell(&self, step: &str, stage: Stage<'_>) {
        let stage = match stage {
            Stage::Begun => "begun".to_owned(),
            Stage::Done(value) => format!("done {value}"),
            Stage::Recorded(value) => format!("recorded {value}"),
            Stage::Skipped(value) => format!("skipped {value}"),
        };
        self.ledger.append(&format!("step {} {} {} {step} {stage}\n", process::id(), self.name, self.key));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ledger.append(&format!("ended {}\n", self.line));
    }
}
