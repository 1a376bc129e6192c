//! Rounds of requests, an outage, and retries.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use cratestack_tests::{
    Client, PostgresServer, Proxy, TestDatabase, Way,
    fleet::{Bank, Books, Entry, Ledger, seed, setting},
};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{Duration, Instant, sleep, sleep_until},
};

use crate::{
    BANK,
    check::{Wrong, judge},
    clients::{Manner, Order, PATIENCE, Told, until_told},
    plan::{Fault, Request, Round},
    report::Report,
};

const FEW: u64 = 16;
/// A lane has a server of its own, and mostly waits.
const LANES: u64 = 4;
/// For what is asked when everything is there again.
const AT_ONCE: Manner = Manner { patience: PATIENCE, pause: Duration::from_millis(20) };

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn outages_double_nothing() {
    let (seed, rounds) = (seed(), setting("ROUNDS").unwrap_or(FEW));
    let report = Arc::new(Mutex::new(Report::new(seed, rounds)));
    let next = Arc::new(AtomicU64::new(setting("FROM").unwrap_or(0)));
    let end = next.load(Ordering::Relaxed) + rounds;
    let lanes = (0..setting("LANES").unwrap_or(LANES)).map(|_| {
        let (report, next) = (Arc::clone(&report), Arc::clone(&next));
        tokio::spawn(async move {
            let lane = Lane::open(report).await;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return;
                }
                lane.run(Round::new(seed, number)).await;
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
    let report = report.lock().unwrap();
    println!("{report}");
    assert!(report.is_all_right(), "SEED={seed}: see above");
}

struct Lane {
    server: PostgresServer,
    database: TestDatabase,
    books: Books,
    directory: TempDir,
    report: Arc<Mutex<Report>>,
}

/// What the clients of a request were told.
type Heard = Vec<(usize, Told)>;

impl Lane {
    async fn open(report: Arc<Mutex<Report>>) -> Self {
        let server = PostgresServer::launch().await;
        let database = TestDatabase::create_on(&server).await;
        let books = Books::on_postgres(database.url()).await;
        Self { server, database, books, directory: tempfile::tempdir().unwrap(), report }
    }

    fn report<T>(&self, tell: impl FnOnce(&mut Report) -> T) -> T {
        tell(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn run(&self, round: Round) {
        let ledger = Arc::new(Ledger::create(self.directory.path(), &round.number.to_string()));
        let setup = round.setup().ledger(ledger.file());
        let mut ways = Vec::new();
        for _ in 0..round.processes {
            ways.push(Proxy::before(self.database.url()).await);
        }
        let banks: Vec<_> =
            ways.iter().enumerate().map(|(nth, way)| Bank::start(BANK, way.url(), &setup, nth)).collect();
        let clients: Vec<_> = banks.iter().map(Bank::client).collect();

        let start = Instant::now();
        let (mut asking, mut meddling) = (JoinSet::new(), JoinSet::new());
        for (n, request) in round.requests.iter().enumerate() {
            for caller in request.callers.clone() {
                let (mut clients, order) = (clients.clone(), request.order.clone());
                clients.rotate_left(caller.first % round.processes);
                asking.spawn(async move {
                    sleep_until(start + caller.at).await;
                    (n, until_told(&clients, &order, caller.manner).await)
                });
            }
            if request.is_meddled_with {
                meddling.spawn(meddle(n, clients.clone(), request.order.clone(), Arc::clone(&ledger)));
            }
        }
        sleep_until(start + round.at).await;
        let struck = Instant::now();
        self.strike(&round, &ways).await;
        let (away, back) = (struck.elapsed(), Instant::now());
        let late = self.written(&round, back, &ledger).await;

        let (mut told, mut refused) = (Heard::new(), Heard::new());
        while let Some(heard) = asking.join_next().await {
            told.push(heard.unwrap());
        }
        while let Some(heard) = meddling.join_next().await {
            refused.push(heard.unwrap());
        }
        self.everything_is_written(&round, away).await;
        for (n, request) in round.requests.iter().enumerate() {
            // Each process, now that everything is there: what one of them remembers is no other than what is recorded.
            for client in &clients {
                told.push((n, until_told(&[*client], &request.order, AT_ONCE).await));
                refused.push((n, until_told(&[*client], &request.order.with_another_amount(), AT_ONCE).await));
            }
        }

        // Connections that have vanished are away for as long as it takes to give them up.
        let was_brief = round.fault != Fault::BlackHole && away + ledger.longest_stall() < round.lease / 3;
        let entries = ledger.entries();
        for (n, request) in round.requests.iter().enumerate() {
            self.judge(&round, request, (away, back, was_brief), of(&told, n), of(&refused, n), &entries).await;
        }
        self.report(|report| report.round(&round, away, was_brief, late));
    }

    /// Returns when the outage is over.
    async fn strike(&self, round: &Round, ways: &[Proxy]) {
        let set = |way| round.hits.iter().for_each(|nth| ways[*nth].set(way));
        match round.fault {
            Fault::Pause => set(Way::Paused),
            Fault::Cut => set(Way::Cut),
            Fault::BlackHole => set(Way::BlackHole),
            Fault::Freeze => self.server.freeze().await,
            Fault::Restart => self.server.stop_immediate().await,
        }
        sleep(round.lasts).await;
        match round.fault {
            Fault::Freeze => self.server.thaw().await,
            Fault::Restart => self.server.start().await,
            _ => set(Way::Open),
        }
        while !self.books.answers().await {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for the outcomes that there were when the outage ended; says how long each had to wait.
    async fn written(&self, round: &Round, back: Instant, ledger: &Ledger) -> Vec<Duration> {
        let ended = |entry| if let Entry::Ended(run) = entry { Some(run.key) } else { None };
        let ended: HashSet<_> = ledger.entries().into_iter().filter_map(ended).collect();
        let mut waiting: HashSet<_> =
            self.unwritten(round).await.into_iter().filter(|key| ended.contains(key)).collect();
        let mut times = Vec::new();
        while !waiting.is_empty() && back.elapsed() < PATIENCE {
            sleep(Duration::from_millis(10)).await;
            let unwritten: HashSet<_> = self.unwritten(round).await.into_iter().collect();
            let (still, written): (HashSet<_>, HashSet<_>) =
                waiting.into_iter().partition(|key| unwritten.contains(key));
            times.extend(written.iter().map(|_| back.elapsed()));
            waiting = still;
        }
        times
    }

    async fn unwritten(&self, round: &Round) -> Vec<String> {
        self.books.unwritten(&format!("{}-", round.number)).await
    }

    /// Every client has its answer; in a moment nothing is under way.
    async fn everything_is_written(&self, round: &Round, away: Duration) {
        let since = Instant::now();
        loop {
            let unwritten = self.unwritten(round).await;
            if unwritten.is_empty() {
                return;
            }
            if since.elapsed() > PATIENCE {
                let what = format!("their outcomes are still not written: {unwritten:?}");
                return self.report(|report| report.wrong(round, away, Wrong::Stuck, &what));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn judge(
        &self,
        round: &Round,
        request: &Request,
        (away, back, was_brief): (Duration, Instant, bool),
        told: Vec<&Told>,
        refused: Vec<&Told>,
        entries: &[Entry],
    ) {
        let mut wrong = Vec::new();
        for told in told.iter().chain(&refused) {
            if let Err(what) = &told.answer {
                wrong.push((Wrong::Stuck, what.clone()));
            }
        }
        if told.iter().any(|told| matches!(told.answer, Ok(None))) {
            wrong.push((Wrong::AnotherRequest, format!("the first request was refused: {:#?}", request.order)));
        }
        if let Some(answer) = refused.iter().find_map(|told| told.outcome()) {
            wrong.push((Wrong::AnotherRequest, format!("another request was answered: {answer:?}")));
        }
        let outcomes: Vec<_> = told.iter().filter_map(|told| told.outcome().cloned()).collect();
        if !outcomes.is_empty() {
            match judge(round, request, was_brief, &outcomes, entries, &self.books).await {
                Ok(found) => self.report(|report| report.found(&found)),
                Err(found) => wrong.push(found),
            }
        }
        self.report(|report| {
            let tally = report.tally(request.is_transaction());
            tally.keys += 1;
            tally.refused += refused.iter().filter(|told| matches!(told.answer, Ok(None))).count() as u64;
            for told in &told {
                tally.add(told);
            }
            let put_off = told.iter().filter_map(|told| told.put_off?.checked_duration_since(back)).max();
            if let Some(after) = put_off {
                report.is_put_off(after);
            }
            for (wrong, what) in wrong {
                report.wrong(round, away, wrong, &what);
            }
        });
    }
}

fn of(heard: &Heard, n: usize) -> Vec<&Told> {
    heard.iter().filter(|(of, _)| *of == n).map(|(_, told)| told).collect()
}

/// Once the first request has begun, the key is its own.
async fn meddle(n: usize, clients: Vec<Client>, order: Order, ledger: Arc<Ledger>) -> (usize, Told) {
    let asked = Instant::now();
    while ledger.runs(&order.key).is_empty() && asked.elapsed() < PATIENCE {
        sleep(Duration::from_millis(20)).await;
    }
    let manner = Manner { patience: Duration::from_secs(2), pause: Duration::from_millis(150) };
    (n, until_told(&clients, &order.with_another_amount(), manner).await)
}
