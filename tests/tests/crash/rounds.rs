//! Rounds of requests, a kill, and retries.

use std::{io, process::Command, time::Duration};

use cratestack_tests::{
    Answer, Client, PostgresServer, TestDatabase,
    fleet::{Bank, Books, seed, setting},
    postgres::PostgresOptions,
};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    BANK,
    check::{Case, judge_accounts},
    plan::{Database, Fault, Kind, Request, Round},
    report::Report,
};

/// Far less than the lease of a transaction, and more than a server needs to come back.
const PATIENCE: Duration = Duration::from_secs(60);
/// The lease of a reservation, and some more.
const LEASE: Duration = Duration::from_millis(2_200);

struct World {
    database: Database,
    url: String,
    books: Books,
    server: Option<PostgresServer>,
    banks: Vec<Bank>,
    /// Reservations whose holder was killed: their keys are free after their lease.
    late: Vec<(Case, Instant)>,
    report: Report,
}

/// What came back from one request.
enum Heard {
    Outcome(Answer),
    /// Ask again.
    NotYet,
    /// Ask again: a transaction is undone, or nobody knows.
    Undone,
    CutOff,
    /// There was nobody to hear it.
    Unheard,
    /// By the client itself.
    HungUp,
    Wrong(String),
}

impl Heard {
    fn lost(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused { Self::Unheard } else { Self::CutOff }
    }

    fn of(answer: Answer) -> Self {
        if answer.headers.contains_key("x-run") {
            return Self::Outcome(answer);
        }
        match &*answer.code() {
            "idempotency_request_in_flight" | "idempotency_store_unavailable" | "idempotency_reservation_lost" => {
                Self::NotYet
            }
            "idempotency_transaction_rolled_back" | "idempotency_outcome_unknown" => Self::Undone,
            _ => Self::Wrong(format!("an answer that is neither an outcome nor for the moment: {answer:?}")),
        }
    }
}

async fn send(client: Client, request: &Request, hangs_up: Option<Duration>) -> Heard {
    let sending =
        client.post(request.path).key(&request.key).header("authorization", "Bearer teller").json(&request.body);
    match hangs_up {
        Some(patience) => match sending.hang_up_after(patience).await {
            Ok(Some(answer)) => Heard::of(answer),
            Ok(None) => Heard::HungUp,
            Err(error) => Heard::lost(&error),
        },
        None => sending.send().await.map_or_else(|error| Heard::lost(&error), Heard::of),
    }
}

/// What a retry has come to.
struct Retried {
    sent: u64,
    outcome: Result<Answer, String>,
    at: Instant,
}

/// Asks until there is an outcome, each time at the next of the services.
async fn retry(clients: Vec<Client>, request: Request) -> Retried {
    let deadline = Instant::now() + PATIENCE;
    for (sent, client) in (1..).zip(clients.iter().cycle()) {
        let outcome = match send(*client, &request, None).await {
            Heard::Outcome(answer) => Ok(answer),
            Heard::Wrong(what) => Err(what),
            _ if Instant::now() > deadline => Err("stuck: no outcome".into()),
            _ => {
                sleep(Duration::from_millis(4)).await;
                continue;
            }
        };
        return Retried { sent, outcome, at: Instant::now() };
    }
    unreachable!("there is a service")
}

impl World {
    async fn round(&mut self, round: &Round) -> Result<(), String> {
        self.settle_late(false).await?;
        self.banks.truncate(round.services);
        while self.banks.len() < round.services {
            self.banks.push(Bank::start(BANK, &self.url, &round.setup, self.banks.len()));
        }
        let mut cases: Vec<_> = round.requests.iter().cloned().map(Case::new).collect();
        let start = Instant::now();
        let mut trying = JoinSet::new();
        for (n, request) in round.requests.iter().enumerate() {
            for attempt in request.tries.clone() {
                let (client, request) = (self.banks[attempt.service].client(), request.clone());
                trying.spawn(async move {
                    sleep_until(start + attempt.at).await;
                    (n, send(client, &request, attempt.hangs_up).await)
                });
            }
        }

        sleep_until(start + round.at).await;
        self.strike(round).await;
        let struck = Instant::now();
        let mut retrying = JoinSet::new();
        let clients: Vec<_> = self.standing(round).map(Bank::client).collect();
        for (n, request) in round.requests.iter().enumerate().filter(|(_, request)| request.kind != Kind::Reserved) {
            let (mut clients, request) = (clients.clone(), request.clone());
            let first = n % clients.len();
            clients.rotate_left(first);
            retrying.spawn(async move { (n, retry(clients, request).await) });
        }
        self.come_back(round).await;

        let mut untold = Vec::new();
        while let Some(tried) = trying.join_next().await {
            let (n, heard) = tried.unwrap();
            let case = &mut cases[n];
            let tally = self.report.tally(case.request.kind);
            tally.sent += 1;
            match heard {
                Heard::Outcome(answer) => case.outcomes.push(answer),
                Heard::CutOff => {
                    tally.cut_off += 1;
                    case.cut_off = true;
                }
                Heard::Undone => tally.undone += 1,
                Heard::NotYet | Heard::HungUp | Heard::Unheard => {}
                Heard::Wrong(what) => return Err(what),
            }
        }
        untold.extend(cases.iter().map(|case| case.cut_off && case.outcomes.is_empty()));
        while let Some(retried) = retrying.join_next().await {
            let (n, retried) = retried.unwrap();
            self.report.transactions.sent += retried.sent;
            let answer = retried.outcome.map_err(|what| format!("{what}\n{:#?}", cases[n].request))?;
            if untold[n] && answer.is_replay() {
                self.report.transactions.had_committed += 1;
            } else if untold[n] {
                self.report.transactions.ran_anew += 1;
            }
            self.report.longest = self.report.longest.max(retried.at - struck);
            cases[n].outcomes.push(answer);
        }
        for (mut case, untold) in cases.into_iter().zip(untold) {
            self.report.tally(case.request.kind).keys += 1;
            if case.request.kind == Kind::Reserved {
                case.without_database = !round.fault.is_of_the_service();
                self.retry_reserved(case, untold).await?;
            } else {
                case.judge(&self.books).await?;
                if round.chance.is_multiple_of(4) {
                    self.is_refused_with_another_body(&case.request).await?;
                }
            }
        }
        judge_accounts(&self.books).await
    }

    /// The banks that are there right after the kill, for retries.
    fn standing(&self, round: &Round) -> impl Iterator<Item = &Bank> {
        let skip = usize::from(round.fault == Fault::Service && self.banks.len() > 1);
        self.banks.iter().skip(skip)
    }

    async fn strike(&mut self, round: &Round) {
        let of_the_service = round.fault.is_of_the_service();
        *(if of_the_service { &mut self.report.service_kills } else { &mut self.report.database_kills }) += 1;
        // Who ran those may still be at it, and be hit now.
        for (case, _) in &mut self.late {
            case.cut_off = true;
            case.without_database |= !of_the_service;
        }
        match round.fault {
            Fault::Service => {
                self.banks[0].kill();
                // Alone, it must be there again before there can be retries.
                if self.banks.len() == 1 {
                    self.banks[0] = Bank::start(BANK, &self.url, &round.setup, 0);
                }
            }
            Fault::Services => {
                self.banks.iter_mut().for_each(Bank::kill);
                for (nth, bank) in self.banks.iter_mut().enumerate() {
                    *bank = Bank::start(BANK, &self.url, &round.setup, nth);
                }
            }
            Fault::Immediate => self.server().stop_immediate().await,
            Fault::Postmaster => self.server().kill().await,
            Fault::Session => {
                let sessions = self.books.sessions().await;
                if let Some(nth) = round.chance.checked_rem(sessions.len() as u64) {
                    let session = sessions[usize::try_from(nth).unwrap()].to_string();
                    // It may have ended by itself.
                    let _ = Command::new("kill").args(["-KILL", &session]).status();
                }
            }
            Fault::Sessions => self.books.end_sessions().await,
            Fault::Everything => {
                self.server().stop_immediate().await;
                self.banks.iter_mut().for_each(Bank::kill);
                for (nth, bank) in self.banks.iter_mut().enumerate() {
                    *bank = Bank::start(BANK, &self.url, &round.setup, nth);
                }
            }
        }
    }

    /// What was killed and is still away comes back, while clients are asking already.
    async fn come_back(&mut self, round: &Round) {
        match round.fault {
            Fault::Service if self.banks.len() > 1 => self.banks[0] = Bank::start(BANK, &self.url, &round.setup, 0),
            Fault::Service | Fault::Services | Fault::Session | Fault::Sessions => {}
            Fault::Immediate | Fault::Postmaster | Fault::Everything => self.server().start().await,
        }
        while !self.books.answers().await {
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn server(&self) -> &PostgresServer {
        self.server.as_ref().expect("only rounds of Postgres kill it")
    }

    /// Asks once. A reservation whose holder was killed has its lease to wait for.
    async fn retry_reserved(&mut self, mut case: Case, untold: bool) -> Result<(), String> {
        self.report.reserved.sent += 1;
        match send(self.banks[0].client(), &case.request, None).await {
            Heard::Outcome(answer) => {
                if untold && answer.is_replay() {
                    self.report.reserved.had_committed += 1;
                } else if untold {
                    self.report.reserved.ran_anew += 1;
                }
                case.outcomes.push(answer);
                let found = case.judge(&self.books).await?;
                self.report.reserved_doubled += u64::from(found.doubled);
                self.report.reserved_unsettled += u64::from(found.unsettled);
            }
            Heard::Wrong(what) => return Err(what),
            _ => self.late.push((case, Instant::now())),
        }
        Ok(())
    }

    /// Goes on with the reservations whose lease has ended; at the end, with all.
    async fn settle_late(&mut self, all: bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let due = |since: &Instant| since.elapsed() > LEASE;
            let (due, later): (Vec<_>, _) = std::mem::take(&mut self.late).into_iter().partition(|(_, s)| due(s));
            self.late = later;
            for (case, _) in due {
                let untold = case.cut_off && case.outcomes.is_empty();
                self.retry_reserved(case, untold).await?;
            }
            if !all || self.late.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("stuck: a reservation has no outcome: {:#?}", self.late[0].0.request));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn is_refused_with_another_body(&self, request: &Request) -> Result<(), String> {
        let mut other = request.clone();
        other.body["amount"] = Value::from(1_000);
        match retry(vec![self.banks[0].client()], other).await.outcome {
            Err(what) if what.contains("idempotency_key_conflict") => Ok(()),
            _ => Err(format!("another request under the key was not refused: {request:#?}")),
        }
    }

    /// Nothing is in the books twice, whoever wrote it.
    async fn judge_all(&self) -> Result<(), String> {
        let doubled = self.books.all_rows().await.into_iter().filter(|(_, rows)| *rows > 1).count() as u64;
        if doubled == self.report.reserved_doubled {
            return Ok(());
        }
        Err(format!("{doubled} keys are doubled; {} were seen to be", self.report.reserved_doubled))
    }
}

const FEW: u64 = 44;

async fn run(mut world: World, seed: u64, rounds: u64) {
    for number in 0..rounds {
        // Each eleventh round kills Postgres.
        let of_the_service = world.database == Database::Sqlite || number % 11 != 10;
        let round = Round::new(seed, number, world.database, of_the_service);
        if let Err(wrong) = world.round(&round).await {
            panic!("SEED={seed}, round {number} ({:?} after {:?}): {wrong}", round.fault, round.at);
        }
        world.report.progress(number, rounds);
    }
    let settled = world.settle_late(true).await;
    settled.and(world.judge_all().await).unwrap_or_else(|wrong| panic!("SEED={seed}, at the end: {wrong}"));
    println!("{}", world.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres() {
    let (seed, kills) = (seed(), setting("ROUNDS").unwrap_or(FEW));
    // What is committed must be on the disk; a commit takes its time, so that kills hit it; deadlocks are found while
    // the round lasts.
    let options = PostgresOptions::new().durable().set("commit_delay", "5000").set("commit_siblings", "0");
    let server = options.set("deadlock_timeout", "20ms").start().await;
    let database = TestDatabase::create_on(&server).await;
    let url = database.url().to_owned();
    let books = Books::on_postgres(&url).await;
    let report = Report::new("Postgres", seed, kills + kills / 10);
    let (banks, late) = (Vec::new(), Vec::new());
    let world = World { database: Database::Postgres, url, books, server: Some(server), banks, late, report };
    run(world, seed, kills + kills / 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite() {
    let (seed, kills) = (seed(), setting("ROUNDS").unwrap_or(FEW));
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", directory.path().join("bank.db").display());
    let books = Books::on_sqlite(&url).await;
    let report = Report::new("SQLite", seed, kills);
    let (banks, late) = (Vec::new(), Vec::new());
    let world = World { database: Database::Sqlite, url, books, server: None, banks, late, report };
    run(world, seed, kills).await;
}
