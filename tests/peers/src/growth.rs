//! How cost grows: with rows that are there, beside a sweep, and what each finished key leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cratestack_runtime::{Claim, ClaimOutcome, Completion, Idempotency, IdempotencyStore, PostgresStore, async_trait};
use futures_util::future::BoxFuture;
use sqlx::Row as _;

use crate::figure::{Contender, Figure, Limit, Measure, Outcome, Setting};
use crate::figures::{our_round, their_round};
use crate::load::{Call, Load, drive};
use crate::network::Network;
use crate::report::Fact;
use crate::sample::{Quantity, Sample};
use crate::server::{Ours, Theirs};
use crate::traffic::{BODY, HASH, HEADERS, LEASE, PRINCIPAL, RETENTION, STATUS, new_key, outcomes_of_anyone};
use crate::{Fallible, Options, server};

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
        keys(
            &Ours::create(&server, &near, connections).await?,
            &Theirs::create(&server, &near, connections).await?,
            facts,
        )
        .await?;
    }
    if options.wants("growth-hour") {
        // The hour takes about a minute, so autovacuum's minute is a second.
        let server = server::start(server::options().set("autovacuum_naptime", "1s")).await?;
        hour(
            &Ours::create(&server, &near, connections).await?,
            &Theirs::create(&server, &near, connections).await?,
            facts,
        )
        .await?;
    }
    if options.wants("growth-rows") {
        let full = Arc::new(Ours::create(&server, &near, connections).await?);
        let empty = Arc::new(Ours::create(&server, &near, connections).await?);
        fill(&full, TOMORROW, options.rows).await?;
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
        let swept = Arc::new(Ours::create(&server, &near, connections).await?);
        let left = Arc::new(Ours::create(&server, &near, connections).await?);
        fill(&left, YESTERDAY, EXPIRED).await?;
        let figure = Figure {
            name: "growth-sweep".to_owned(),
            title: format!("reserve while {EXPIRED} expired rows are swept against none, {RATE} requests a second"),
            callers: CALLERS,
            rate: Some(RATE),
            contenders: vec![
                Box::new(Swept { at: swept }),
                Box::new(Rows { name: "no sweep".to_owned(), at: left, keeps: true, part: Part::Reserve }),
            ],
            measures: vec![Measure::ratio(Quantity::P50, None), Measure::ratio(Quantity::P99, Limit::AtMost(1.2))],
        };
        outcomes.push(figure.measure(setting).await?);
    }
    Ok(())
}

/// Fills the table with finished outcomes, indexes last.
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
}

#[async_trait]
impl Contender for Swept {
    fn name(&self) -> String {
        "swept".to_owned()
    }

    async fn prepare(&self) -> Fallible {
        fill(&self.at, YESTERDAY, EXPIRED).await
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

/// Runs `count` calls by sixteen callers, as fast as they go.
async fn repeat<F>(count: usize, call: F) -> Fallible
where
    F: Fn(usize) -> BoxFuture<'static, Fallible> + Clone + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (call, next) = (call.clone(), Arc::clone(&next));
        callers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Fallible::Ok(());
                }
                call(n).await?;
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

/// Bytes of WAL, table and indexes for each finished key.
async fn keys(ours: &Ours, theirs: &Theirs, facts: &mut Vec<Fact>) -> Fallible {
    const KEYS: usize = 100_000;
    let store = ours.store();
    let our_call = move |_| -> BoxFuture<'static, Fallible> {
        let store = store.clone();
        Box::pin(async move { our_round(&store, &new_key(), &BODY).await })
    };
    let store = theirs.store();
    let their_call = move |_| -> BoxFuture<'static, Fallible> {
        let store = store.clone();
        Box::pin(async move { their_round(&store, &new_key(), &BODY).await })
    };
    let their_view = View::of(theirs).await?;
    let our_view = View(ours.clone());
    for (who, view) in [("ours", &our_view), ("cratestack-sqlx", &their_view)] {
        eprintln!("growth-keys: {KEYS} keys, {who}");
        view.0.execute("CHECKPOINT").await?;
        let before = view.number("SELECT pg_current_wal_insert_lsn() - '0/0'").await?;
        if who == "ours" {
            repeat(KEYS, our_call.clone()).await?;
        } else {
            repeat(KEYS, their_call.clone()).await?;
        }
        let wal = view.number("SELECT pg_current_wal_insert_lsn() - '0/0'").await? - before;
        let table = view.number("SELECT pg_table_size('cratestack_idempotency')").await?;
        let indexes = view.number("SELECT pg_indexes_size('cratestack_idempotency')").await?;
        #[allow(clippy::cast_precision_loss)]
        for (what, bytes) in [
            ("bytes of WAL per finished key", wal),
            ("bytes of table per finished key", table),
            ("bytes of indexes per finished key", indexes),
        ] {
            facts.push(Fact { what, of: who.to_owned(), value: bytes / KEYS as f64 });
        }
    }
    Ok(())
}

/// An hour of 100 requests a second, as fast as it goes: each twentieth is retried, outcomes are kept for five seconds,
/// what has expired is swept every second, and autovacuum looks every second.
async fn hour(ours: &Ours, theirs: &Theirs, facts: &mut Vec<Fact>) -> Fallible {
    const REQUESTS: usize = 360_000;
    const KEPT: Duration = Duration::from_secs(5);
    let their_view = View::of(theirs).await?;
    for (who, view) in [("ours", &View(ours.clone())), ("cratestack-sqlx", &their_view)] {
        eprintln!("growth-hour: {REQUESTS} requests, {who}");
        let begun = Instant::now();
        let (our_store, their_store) = (ours.store(), theirs.store());
        let is_ours = who == "ours";
        let sweeping = {
            let (ours, theirs) = (our_store.clone(), their_store.clone());
            tokio::spawn(async move {
                let idempotency = Idempotency::new(ours);
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let swept = if is_ours {
                        idempotency.sweep().await.map_err(|error| error.to_string())
                    } else {
                        theirs.garbage_collect().await.map_err(|error| error.to_string())
                    };
                    if let Err(error) = swept {
                        eprintln!("sweeping: {error}");
                    }
                }
            })
        };
        repeat(REQUESTS, move |n| {
            let (ours, theirs) = (our_store.clone(), their_store.clone());
            Box::pin(async move {
                let key = new_key();
                for _ in 0..=usize::from(n.is_multiple_of(20)) {
                    if is_ours {
                        one_of_ours(&ours, &key, KEPT).await?;
                    } else {
                        one_of_theirs(&theirs, &key, KEPT).await?;
                    }
                }
                Ok(())
            })
        })
        .await?;
        sweeping.abort();
        // The server's statistics are a second behind.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let stat = "FROM pg_stat_user_tables WHERE relname = 'cratestack_idempotency'";
        let hot = "SELECT 100.0 * n_tup_hot_upd / GREATEST(n_tup_upd, 1)";
        let mut add = |what, value| facts.push(Fact { what, of: who.to_owned(), value });
        add("after an hour's worth of traffic: seconds it took", begun.elapsed().as_secs_f64() - 2.0);
        add("… dead tuples", view.number(&format!("SELECT n_dead_tup {stat}")).await?);
        add("… live tuples", view.number(&format!("SELECT n_live_tup {stat}")).await?);
        add("… HOT updates, %", view.number(&format!("{hot} {stat}")).await?);
        add("… runs of autovacuum", view.number(&format!("SELECT autovacuum_count {stat}")).await?);
        add("… bytes of table", view.number("SELECT pg_table_size('cratestack_idempotency')").await?);
        add("… bytes of indexes", view.number("SELECT pg_indexes_size('cratestack_idempotency')").await?);
    }
    Ok(())
}

async fn one_of_ours(store: &PostgresStore, key: &str, kept: Duration) -> Fallible {
    let claim = Claim { principal: PRINCIPAL, key, request_hash: HASH, lease: kept, retention: kept };
    if let ClaimOutcome::Reserved { token, .. } = store.reserve(claim).await? {
        let completion =
            Completion { principal: PRINCIPAL, key, token, status: STATUS, headers: &HEADERS, body: &BODY };
        store.finish(completion).await?;
    }
    Ok(())
}

async fn one_of_theirs(store: &cratestack_sqlx::SqlxIdempotencyStore, key: &str, kept: Duration) -> Fallible {
    use cratestack_axum::idempotency::{IdempotencyStore as _, ReservationOutcome};
    let expires_at = std::time::SystemTime::now() + kept;
    if let ReservationOutcome::Reserved { token } = store.reserve_or_fetch(PRINCIPAL, key, HASH, expires_at).await? {
        store.complete(PRINCIPAL, key, token, STATUS, &HEADERS, &BODY).await?;
    }
    Ok(())
}

/// Questions to the server about either's database.
struct View(Ours);

impl View {
    async fn of(theirs: &Theirs) -> Fallible<Self> {
        Ok(Self(theirs.seen_by_us().await?))
    }

    async fn number(&self, sql: &str) -> Fallible<f64> {
        let sql = format!("SELECT ({sql})::float8");
        Ok(sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&self.0.pool).await?.try_get(0)?)
    }
}
