//! A reference model: what a store has to answer, said as plainly as possible, and random histories to compare.
//!
//! A history is one sequence of calls by several holders on a few keys, so that every answer is known. A row's deadlines
//! are either so far off that no run outlives them, or so near that they have surely passed after the wait that follows
//! each call that sets one; in between is nothing that could depend on how fast the machine is.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use uuid::Uuid;

use super::bench::{A, Answer, B, Bench, Checked, LONG, Stop, describe_answer, ensure};
use super::rng::Rng;
use crate::{ClaimOutcome, Tenure};

const WORKERS: usize = 64;

/// Two keys of one principal, and one of them under another.
const SLOTS: [(&str, &str); 3] = [("alice", "first"), ("alice", "second"), ("bob", "first")];

pub(super) async fn agrees_with_the_reference_model(bench: Bench) -> Checked {
    let next = Arc::new(AtomicU32::new(0));
    let worker = |bench: Bench, _| {
        let next = Arc::clone(&next);
        async move {
            loop {
                let run = next.fetch_add(1, Ordering::Relaxed);
                if run >= bench.runs {
                    return Ok(());
                }
                let seed = bench.seed.wrapping_add(u64::from(run));
                History::new(&bench, run, seed).run().await.map_err(|stop| explain(stop, run, seed))?;
            }
        }
    };
    bench.rush(WORKERS, worker).await.map(drop)
}

fn explain(stop: Stop, run: u32, seed: u64) -> Stop {
    match stop {
        Stop::Broken(why) => {
            Stop::Broken(format!("run {run} (again alone: `Conformance::new().seed({seed:#x}).model_runs(1)`): {why}"))
        }
        other => other,
    }
}

/// How far off a deadline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// Not within this run.
    Far,
    /// Passed by the next call.
    Past,
}

impl Span {
    fn random(rng: &mut Rng) -> Self {
        if rng.chance(70) { Self::Far } else { Self::Past }
    }

    fn duration(self) -> Duration {
        match self {
            Self::Far => LONG,
            Self::Past => Duration::from_millis(1),
        }
    }
}

/// What the model knows of a key that is not free.
#[derive(Clone)]
struct Row {
    token: Uuid,
    hash: [u8; 32],
    attempt: u32,
    /// The lease has not ended.
    leased: bool,
    /// The retention has not ended. Once it has, the row may be there or not: anyone may have swept.
    kept: bool,
    outcome: Option<Answer>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = |far| if far { "runs" } else { "ended" };
        match &self.outcome {
            Some(answer) => write!(f, "the outcome {}", describe_answer(answer))?,
            None => write!(f, "attempt {}, its lease {}", self.attempt, ends(self.leased))?,
        }
        write!(f, ", its retention {}, for request {}", ends(self.kept), request(self.hash))
    }
}

impl Row {
    /// Whether this request may not take the row over. While it is kept, a reservation is its own request's.
    fn is_live_to(&self, hash: [u8; 32]) -> bool {
        self.kept && (self.leased || self.outcome.is_some() || self.hash != hash)
    }

    fn is_running_under(&self, token: Uuid) -> bool {
        self.token == token && self.outcome.is_none()
    }
}

struct History {
    benches: [Bench; SLOTS.len()],
    rng: Rng,
    rows: [Option<Row>; SLOTS.len()],
    /// Every token ever handed out, and for which slot.
    tokens: Vec<(usize, Uuid)>,
    answers: u32,
    log: String,
}

impl History {
    fn new(bench: &Bench, run: u32, seed: u64) -> Self {
        let of_slot = |(principal, _)| bench.as_principal(&format!("{}-{run}-{principal}", bench.principal));
        Self {
            benches: SLOTS.map(of_slot),
            rng: Rng::new(seed),
            rows: SLOTS.map(|_| None),
            tokens: Vec::new(),
            answers: 0,
            log: String::new(),
        }
    }

    async fn run(mut self) -> Checked {
        let steps = 8 + self.rng.below(13);
        for step in 1..=steps {
            let slot = self.rng.below(SLOTS.len());
            let _ = write!(self.log, "\n    {step}. ");
            let done = match self.rng.below(100) {
                0..40 => self.reserve(slot).await,
                40..55 => self.renew(slot).await,
                55..80 => self.record(slot).await,
                80..95 => self.release(slot).await,
                _ => self.sweep(slot).await,
            };
            done.map_err(|stop| match stop {
                Stop::Broken(why) => Stop::Broken(format!("{why}; the history:{}", self.log)),
                other => other,
            })?;
        }
        Ok(())
    }

    async fn reserve(&mut self, slot: usize) -> Checked {
        let bench = self.benches[slot].clone();
        let hash = if self.rng.chance(75) { A } else { B };
        let required = self.rng.chance(40);
        let retention = Span::random(&mut self.rng);
        let lease = if required || !bench.leases { retention } else { Span::random(&mut self.rng) };
        let request = request(hash);
        let (name, key) = (SLOTS[slot], SLOTS[slot].1);

        let seen = if required {
            let _ = write!(self.log, "reserve_or_fetch {name:?} for request {request}, ends {retention:?}: ");
            bench.reserve_or_fetch(key, hash, SystemTime::now() + retention.duration()).await?.into()
        } else {
            let _ =
                write!(self.log, "reserve {name:?} for request {request}, lease {lease:?}, retention {retention:?}: ");
            bench.reserve(key, hash, lease.duration(), retention.duration()).await?
        };
        let _ = write!(self.log, "{}", brief(&seen));

        if let Some(row) = self.rows[slot].as_ref().filter(|row| row.is_live_to(hash)) {
            let agrees = match (&row.outcome, &seen) {
                _ if row.hash != hash => seen == ClaimOutcome::Conflict,
                (None, seen) => *seen == ClaimOutcome::InFlight,
                (Some(answer), ClaimOutcome::Replay(record)) => answer.is_in(record) && record.request_hash == hash,
                (Some(_), _) => false,
            };
            ensure!(agrees, "the last call disagrees with the model, which has {row:?}");
            return Ok(());
        }
        let ClaimOutcome::Reserved { token, attempt } = seen else {
            let row = &self.rows[slot];
            return Err(Stop::Broken(format!("the last call has to see Reserved; the model has {row:?}")));
        };
        ensure!(self.tokens.iter().all(|(_, old)| *old != token), "the last call got a token that was in use before");
        let takes_over = |row: &&Row| row.kept && row.outcome.is_none();
        let expected = self.rows[slot].as_ref().filter(takes_over).map_or(1, |row| row.attempt + 1);
        ensure!(
            required || !bench.leases || attempt == expected,
            "the last call says that it is attempt {attempt}; it is {expected}"
        );
        self.tokens.push((slot, token));
        let kept = retention == Span::Far;
        let leased = kept && lease == Span::Far;
        self.rows[slot] = Some(Row { token, hash, attempt: expected, leased, kept, outcome: None });
        self.settle(leased).await;
        Ok(())
    }

    async fn renew(&mut self, slot: usize) -> Checked {
        let bench = self.benches[slot].clone();
        let token = self.token(slot);
        let (lease, retention) = (Span::random(&mut self.rng), Span::random(&mut self.rng));
        let (name, which) = (SLOTS[slot], self.number(token));
        let _ = write!(self.log, "renew {name:?} with token {which}, lease {lease:?}, retention {retention:?}: ");
        // Of a lease that has ended when the answer is there, no store may say that it is held.
        let lasts = |span: Span| if span == Span::Past { bench.unit / 4 } else { span.duration() };
        let seen = bench.renew(name.1, token, lasts(lease), lasts(retention)).await?;
        let _ = write!(self.log, "{seen:?}");
        if !bench.leases {
            return Ok(());
        }

        let Some(row) = self.rows[slot].as_mut().filter(|row| row.is_running_under(token)) else {
            ensure!(seen == Tenure::Lost, "the last call renewed nothing and has to say Lost");
            return Ok(());
        };
        ensure!(
            seen == Tenure::Held || (seen == Tenure::Lost && !row.kept),
            "the last call is the holder's and has to say Held"
        );
        if seen == Tenure::Held {
            row.kept |= retention == Span::Far;
            row.leased = row.kept && lease == Span::Far;
        }
        let leased = row.leased;
        self.settle(leased).await;
        Ok(())
    }

    async fn record(&mut self, slot: usize) -> Checked {
        let bench = self.benches[slot].clone();
        let token = self.token(slot);
        self.answers += 1;
        let status = [200, 201, 404, 500][self.rng.below(4)];
        let answer = Answer::new(status, &format!("answer {}", self.answers));
        let finishes = self.rng.chance(60);
        let (name, which) = (SLOTS[slot], self.number(token));
        let call = if finishes { "finish" } else { "complete" };
        let _ = write!(self.log, "{call} {name:?} with token {which}, {status} \"answer {}\"", self.answers);
        let seen = if finishes {
            Some(bench.finish(name.1, token, &answer).await?)
        } else {
            bench.complete(name.1, token, &answer).await?;
            None
        };
        if let Some(seen) = seen {
            let _ = write!(self.log, ": {seen:?}");
        }

        let row = self.rows[slot].as_mut().filter(|row| row.token == token);
        if let Some(seen) = seen.filter(|_| bench.leases) {
            let agrees = match &row {
                Some(row) if row.kept => seen == Tenure::Held,
                Some(_) => seen != Tenure::Unknown,
                None => seen == Tenure::Lost,
            };
            ensure!(agrees, "the last call was told the wrong tenure; the model has {row:?}");
        }
        // Whether a row that may have been swept takes the outcome is not to be told, and does not matter.
        if let Some(row) = row.filter(|row| row.kept) {
            row.outcome.get_or_insert(answer);
        }
        Ok(())
    }

    async fn release(&mut self, slot: usize) -> Checked {
        let token = self.token(slot);
        let (name, which) = (SLOTS[slot], self.number(token));
        let _ = write!(self.log, "release {name:?} with token {which}");
        self.benches[slot].release(name.1, token).await?;
        // A row that may have been swept may also hold an outcome that the model left out: see `record`.
        self.rows[slot].take_if(|row| row.kept && row.is_running_under(token));
        Ok(())
    }

    async fn sweep(&mut self, slot: usize) -> Checked {
        let limit = 1 + u32::try_from(self.rng.below(8)).unwrap_or_default();
        let _ = write!(self.log, "sweep at most {limit}");
        let seen = self.benches[slot].sweep(limit).await?;
        // The count stays out of the log: it depends on the other runs.
        ensure!(seen <= u64::from(limit), "the last call deleted more than its limit");
        Ok(())
    }

    /// Mostly the token that holds the key, else one of another time or place.
    fn token(&mut self, slot: usize) -> Uuid {
        let latest = self.tokens.iter().rfind(|(of, _)| *of == slot).map(|(_, token)| *token);
        let (a, b) = (self.rng.next(), self.rng.next());
        let any = self.tokens.get(self.rng.below(self.tokens.len())).map(|(_, token)| *token);
        match self.rng.below(100) {
            0..60 => latest,
            60..90 => any,
            _ => None,
        }
        .unwrap_or_else(|| Uuid::from_u64_pair(a, b))
    }

    fn number(&self, token: Uuid) -> String {
        match self.tokens.iter().position(|(_, known)| *known == token) {
            Some(place) => format!("#{}", place + 1),
            None => "of nobody".to_owned(),
        }
    }

    /// Lets every deadline pass that is not far off.
    async fn settle(&self, far: bool) {
        if !far {
            sleep(Duration::from_millis(1) + self.benches[0].unit / 4).await;
        }
    }
}

fn request(hash: [u8; 32]) -> &'static str {
    if hash == A { "A" } else { "B" }
}

fn brief(seen: &ClaimOutcome) -> String {
    match seen {
        ClaimOutcome::Reserved { attempt, .. } => format!("Reserved, attempt {attempt}"),
        ClaimOutcome::Replay(record) => {
            format!("Replay of {} \"{}\"", record.response_status, record.response_body.escape_ascii())
        }
        ClaimOutcome::InFlight => "InFlight".to_owned(),
        ClaimOutcome::Conflict => "Conflict".to_owned(),
    }
}
