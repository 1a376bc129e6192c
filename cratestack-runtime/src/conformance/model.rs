//! Random histories, each held against what [`reference`](super::reference) says of it.
//!
//! A history is one sequence of calls by several holders on a few keys, so that every answer is known. A row's
//! deadlines are either so far off that no run outlives them, or so near that they have surely passed after the wait
//! that follows each call that sets one; in between is nothing that could depend on how fast the machine is.
//!
//! Whether a row that has expired is still there nobody can know, since anyone may have swept. So a history keeps every
//! row that may be there, and a call drops those that its answer contradicts; when none is left, the store was wrong.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use uuid::Uuid;

use super::bench::{A, Answer, B, Bench, Checked, LONG, Stop, describe_answer, ensure};
use super::reference::{self, step};
use super::rng::Rng;
use crate::store::{ClaimOutcome, LeaseState};

type Row = reference::Row<Span, [u8; 32], Uuid, Answer>;
type Call = reference::Call<Span, [u8; 32], Uuid, Answer>;
type Told = reference::Answer<Answer>;

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
                if run >= bench.suite.runs {
                    return Ok(());
                }
                let seed = bench.suite.seed.wrapping_add(u64::from(run));
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

/// How far off a deadline is. The order is the order in time, and "now" is past all that is to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Span {
    /// Passed by the next call.
    Past,
    /// Not within this run.
    Far,
}

const NOW: Span = Span::Past;

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

fn describe(row: Option<&Row>) -> String {
    let Some(row) = row else { return "no row".to_owned() };
    let ends = |end| if end > NOW { "runs" } else { "ended" };
    let state = match &row.outcome {
        Some(answer) => format!("the outcome {}", describe_answer(answer)),
        None => format!("attempt {}, its lease {}", row.attempt, ends(row.lease_ends)),
    };
    format!("{state}, its retention {}, for request {}", ends(row.expires), request(row.hash))
}

struct History {
    benches: [Bench; SLOTS.len()],
    rng: Rng,
    /// Of each key every row that may be there.
    rows: [Vec<Option<Row>>; SLOTS.len()],
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
            rows: SLOTS.map(|_| vec![None]),
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

        let mut token = Uuid::nil();
        let told = match seen {
            ClaimOutcome::Reserved { token: new, attempt } => {
                let is_new = self.tokens.iter().all(|(_, old)| *old != new);
                ensure!(is_new, "the last call got a token that was in use before");
                token = new;
                Told::Reserved { attempt }
            }
            ClaimOutcome::Replay(record) => {
                ensure!(record.request_hash == hash, "the last call got the record of another request");
                let (status, headers) = (record.response_status, record.response_headers);
                Told::Replay(Answer { status, headers, body: record.response_body.into() })
            }
            ClaimOutcome::InFlight => Told::InFlight,
            ClaimOutcome::Conflict => Told::Conflict,
        };
        let counts = !required && bench.leases;
        let call = Call::Reserve { hash, token, lease_ends: lease, expires: retention };
        self.agree(slot, &call, |expected| match (expected, &told) {
            (Told::Reserved { .. }, Told::Reserved { .. }) if !counts => true,
            (expected, told) => expected == told,
        })?;
        if matches!(told, Told::Reserved { .. }) {
            self.tokens.push((slot, token));
            self.settle(lease.min(retention)).await;
        }
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
        let call = Call::Renew { token, lease_ends: lease, expires: retention };
        self.agree(slot, &call, |expected| is(seen, expected))?;
        if seen == LeaseState::Held {
            self.settle(lease.min(retention)).await;
        }
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
        let mut seen = None;
        if finishes {
            let state = bench.finish(name.1, token, &answer).await?;
            let _ = write!(self.log, ": {state:?}");
            seen = bench.leases.then_some(state);
        } else {
            bench.complete(name.1, token, &answer).await?;
        }
        let call = Call::Finish { token, outcome: answer };
        self.agree(slot, &call, |expected| seen.is_none_or(|seen| is(seen, expected)))
    }

    async fn release(&mut self, slot: usize) -> Checked {
        let token = self.token(slot);
        let (name, which) = (SLOTS[slot], self.number(token));
        let _ = write!(self.log, "release {name:?} with token {which}");
        self.benches[slot].release(name.1, token).await?;
        self.agree(slot, &Call::Release { token }, |_| true)
    }

    async fn sweep(&mut self, slot: usize) -> Checked {
        let limit = 1 + u32::try_from(self.rng.below(8)).unwrap_or_default();
        let _ = write!(self.log, "sweep at most {limit}");
        let seen = self.benches[slot].sweep(limit).await?;
        // The count stays out of the log: it depends on the other runs.
        ensure!(seen <= u64::from(limit), "the last call deleted more than its limit");
        Ok(())
    }

    /// Takes the last call into account; `told` says whether an answer is the one that was got.
    fn agree(&mut self, slot: usize, call: &Call, told: impl Fn(&Told) -> bool) -> Checked {
        let before = std::mem::take(&mut self.rows[slot]);
        let swept = before.iter().map(|row| step(row.clone(), Call::Sweep, NOW).0);
        let (mut rows, mut expected) = (Vec::new(), Vec::new());
        for row in swept.chain(before.iter().cloned()) {
            let (row, answer) = step(row, call.clone(), NOW);
            if told(&answer) && !rows.contains(&row) {
                rows.push(row);
            } else if !expected.contains(&answer) {
                expected.push(answer);
            }
        }
        ensure!(
            !rows.is_empty(),
            "the last call was to be told {}; the model has {}",
            expected.iter().map(name_of).collect::<Vec<_>>().join(" or "),
            before.iter().map(|row| describe(row.as_ref())).collect::<Vec<_>>().join(", or ")
        );
        self.rows[slot] = rows;
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

    /// Lets a deadline pass that is not far off.
    async fn settle(&self, deadline: Span) {
        if deadline == Span::Past {
            sleep(Duration::from_millis(1) + self.benches[0].unit / 4).await;
        }
    }
}

/// Whether a lease's state is the one that was to be told.
fn is(seen: LeaseState, expected: &Told) -> bool {
    match seen {
        LeaseState::Held => *expected == Told::Held,
        LeaseState::Lost => *expected == Told::Lost,
        LeaseState::Unknown => false,
    }
}

fn name_of(told: &Told) -> String {
    match told {
        Told::Reserved { attempt } => format!("Reserved, attempt {attempt}"),
        Told::Replay(answer) => format!("Replay of {}", describe_answer(answer)),
        other => format!("{other:?}"),
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
