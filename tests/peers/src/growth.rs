//! How cost grows: with rows that are there, and beside a sweep. What each finished key leaves is in `footprint`.

use std::sync::Arc;
use std::time::Instant;

use cratestack_runtime::{Claim, ClaimOutcome, Completion, Idempotency, IdempotencyStore, PostgresStore, async_trait};
use sqlx::Row as _;

use crate::figure::{Contender, Figure, Limit, Measure, Outcome, Setting};
use crate::load::{Call, Load, drive};
use crate::network::Network;
use crate::report::Fact;
use crate::sample::{Quantity, Sample};
use crate::server::{Ours, Theirs};
use crate::traffic::{BODY, HASH, HEADERS, LEASE, PRINCIPAL, RETENTION, STATUS, new_key, outcomes_of_anyone};
use crate::{Fallible, Options, footprint, server};

/// Requests a second of the figures: well below what the machine can do, so that latencies are those of the table and
/// not those of a queue.
const RATE: f64 = 500.0;
const CALLERS: usize = 16;
const TOMORROW: &str = "NOW() + INTERVAL '1 day'";
const YESTERDAY: &str = "NOW() - INTERVAL '1 day'";
const EXPIRED: usize = 1_000_000;

pub async fn growth(
    options: &Options,
    setting: Setting,
    outcomes: &mut Vec<Outcome>,
    facts: &mut Vec<Fact>,
) -> Fallible {
    // A table that was made in a transaction of its own is filled without WAL at this level; nothing else differs.
    let server = server::start(server::options().set("wal_level", "minimal").set("max_wal_senders", "0")).await?;
    // What grows is the table, and not the way to it.
    let (near, connections) = (Network::default(), options.connections);
    if options.wants("growth-keys") {
        footprint::keys(
            &Ours::create(&server, &near, connections).await?,
            &Theirs::create(&server, &near, connections).await?,
            facts,
        )
        .await?;
    }
    if options.wants("growth-bodies") {
        footprint::bodies(&Ours::create(&server, &near, connections).await?, facts).await?;
    }
    if options.wants("growth-hour") {
        // The hour takes about a minute, so autovacuum's minute is a second.
        let server = server::start(server::options().set("autovacuum_naptime", "1s")).await?;
        footprint::hour(
            &Ours::create(&server, &near, connections).await?,
            &Theirs::create(&server, &near, connections).await?,
            facts,
        )
        .await?;
    }
    if options.wants("growth-fill") {
        let server = server::start(server::options().set("autovacuum_naptime", "1s")).await?;
        footprint::fillfactors(&server, connections, facts).await?;
    }
    if options.wants("growth-rows") {
        let (full, empty) = match &options.grown {
            None => {
                let full = Ours::create(&server, &near, connections).await?;
                (full, Ours::create(&server, &near, connections).await?)
            }
            Some(url) => {
                server::observe_postgres(url).await?;
                (Ours::at(url, connections).await?, Ours::create_beside(url, &near, connections).await?)
            }
        };
        grow(&full, options.rows).await?;
        let (full, empty) = (Arc::new(full), Arc::new(empty));
        for (part, limit) in [(Part::Reserve, Some(Limit::AtMost(1.5))), (Part::Complete, None)] {
            let side = |name: String, at: &Arc<Ours>, keeps: bool| {
                Box::new(Rows { name, at: Arc::clone(at), keeps, part }) as Box<dyn Contender>
            };
            let figure = Figure {
                name: format!("growth-rows-{part:?}").to_lowercase(),
                title: format!("{part:?} with {} live rows against none, {RATE} requests a second", options.rows),
                callers: CALLERS,
                rate: Some(RATE),
                contenders: vec![
                    side(format!("{} rows", options.rows), &full, true),
                    side("empty".to_owned(), &empty, false),
                ],
                measures: vec![Measure::ratio(Quantity::P50, None), Measure::ratio(Quantity::P99, limit)],
            };
            outcomes.push(figure.measure(setting).await?);
        }
    }
    if options.wants("growth-sweep") {
        let (swept, left) = match &options.grown {
            None => {
                let left = Ours::create(&server, &near, connections).await?;
                fill(&left, YESTERDAY, EXPIRED).await?;
                (Ours::create(&server, &near, connections).await?, left)
            }
            Some(url) => {
                server::observe_postgres(url).await?;
                let full = Ours::at(url, connections).await?;
                grow(&full, options.rows).await?;
                (full.clone(), full)
            }
        };
        let (swept, left) = (Arc::new(swept), Arc::new(left));
        let figure = Figure {
            name: "growth-sweep".to_owned(),
            title: format!(
                "reserve while {EXPIRED} expired rows are swept{} against none, {RATE} requests a second",
                options.grown.as_ref().map_or_else(String::new, |_| format!(" beside {} live ones", options.rows)),
            ),
            callers: CALLERS,
            rate: Some(RATE),
            contenders: vec![
                Box::new(Swept { at: swept, is_grown: options.grown.is_some() }),
                Box::new(Rows { name: "no sweep".to_owned(), at: left, keeps: true, part: Part::Reserve }),
            ],
            measures: vec![Measure::ratio(Quantity::P50, None), Measure::ratio(Quantity::P99, Limit::AtMost(1.2))],
        };
        outcomes.push(figure.measure(setting).await?);
    }
    Ok(())
}

/// Has the table filled with live rows where it has fewer, and its index in memory.
async fn grow(at: &Ours, live: usize) -> Fallible {
    if rows(at).await? < live {
        fill(at, TOMORROW, live).await?;
    }
    warm(at).await
}

/// How many rows the table had when it was last analyzed.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
async fn rows(at: &Ours) -> Fallible<usize> {
    // An estimate is a little less than what was filled in.
    let view = View(at.clone());
    let rows = view.number("SELECT reltuples FROM pg_class WHERE relname = 'cratestack_idempotency'").await?;
    Ok((rows * 1.01).max(0.0) as usize)
}

/// Fills the table with finished outcomes, indexes last. Their bodies are short, as what a reservation meets are the
/// indexes.
async fn fill(at: &Ours, expires_at: &str, rows: usize) -> Fallible {
    eprintln!("filling a table with {rows} rows");
    let begun = Instant::now();
    let insert = outcomes_of_anyone(expires_at, rows);
    at.execute(&format!(
        "BEGIN;
         TRUNCATE cratestack_idempotency;
         ALTER TABLE cratestack_idempotency DROP CONSTRAINT cratestack_idempotency_pkey;
         DROP INDEX cratestack_idempotency_expires_idx;
         {insert};
         SET LOCAL maintenance_work_mem = '1GB';
         ALTER TABLE cratestack_idempotency ADD PRIMARY KEY (principal_fingerprint, key);
         CREATE INDEX cratestack_idempotency_expires_idx ON cratestack_idempotency (expires_at);
         COMMIT"
    ))
    .await?;
    at.execute("VACUUM (FREEZE, ANALYZE) cratestack_idempotency").await?;
    at.execute("CHECKPOINT").await?;
    eprintln!("filled in {:.0?}", begun.elapsed());
    Ok(())
}

/// Has the key's index read into memory, as it is where a service has lived with its table, and the server has the
/// memory for it. Where it has not, each reservation waits for the disk to read a page.
async fn warm(at: &Ours) -> Fallible {
    at.execute(
        "BEGIN;
         SET LOCAL enable_seqscan = off;
         SET LOCAL enable_bitmapscan = off;
         SELECT count(*) FROM cratestack_idempotency WHERE principal_fingerprint > '';
         COMMIT",
    )
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Reserve,
    Complete,
}

/// A table with rows in it, and one of the two statements measured.
struct Rows {
    name: String,
    at: Arc<Ours>,
    keeps: bool,
    part: Part,
}

#[async_trait]
impl Contender for Rows {
    fn name(&self) -> String {
        self.name.clone()
    }

    /// What was not written since the last checkpoint is written whole, page by page: the dearest moment of a large
    /// index.
    async fn prepare(&self) -> Fallible {
        if self.keeps { self.at.execute("CHECKPOINT").await } else { self.at.empty().await }
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        part_of_a_round(self.at.store(), load, self.part).await
    }
}

async fn part_of_a_round(store: PostgresStore, load: Load, part: Part) -> Fallible<Sample> {
    drive(load, move || {
        let store = store.clone();
        async move {
            let key = &new_key();
            let claim = Claim { principal: PRINCIPAL, key, request_hash: HASH, lease: LEASE, retention: RETENTION };
            let begun = Instant::now();
            let ClaimOutcome::Reserved { token, .. } = store.reserve(claim).await? else {
                return Err("a new key was not reserved".into());
            };
            let reserved = begun.elapsed();
            let completion =
                Completion { principal: PRINCIPAL, key, token, status: STATUS, headers: &HEADERS, body: &BODY };
            let begun = Instant::now();
            store.finish(completion).await?;
            Ok(Call::Took(if part == Part::Reserve { reserved } else { begun.elapsed() }))
        }
    })
    .await
}

/// A table whose expired rows are swept meanwhile.
struct Swept {
    at: Arc<Ours>,
    /// Whether there are other rows, which stay.
    is_grown: bool,
}

#[async_trait]
impl Contender for Swept {
    fn name(&self) -> String {
        "swept".to_owned()
    }

    async fn prepare(&self) -> Fallible {
        if !self.is_grown {
            return fill(&self.at, YESTERDAY, EXPIRED).await;
        }
        self.at.execute(&outcomes_of_anyone(YESTERDAY, EXPIRED)).await?;
        self.at.execute("CHECKPOINT").await
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let sweeping = Idempotency::new(self.at.store());
        let sweep = tokio::spawn(async move { sweeping.sweep().await });
        let sample = part_of_a_round(self.at.store(), load, Part::Reserve).await?;
        if sweep.is_finished() {
            eprint!(" (the sweep of {} rows ended before the load)", sweep.await??);
        } else {
            sweep.abort();
        }
        // Else autovacuum would do so beside whoever is measured next.
        self.at.execute("VACUUM cratestack_idempotency").await?;
        self.at.execute("CHECKPOINT").await?;
        Ok(sample)
    }
}

/// Questions to the server about either's database.
pub struct View(pub Ours);

impl View {
    pub async fn of(theirs: &Theirs) -> Fallible<Self> {
        Ok(Self(theirs.seen_by_us().await?))
    }

    pub async fn number(&self, sql: &str) -> Fallible<f64> {
        let sql = format!("SELECT ({sql})::float8");
        Ok(sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&self.0.pool).await?.try_get(0)?)
    }
}
