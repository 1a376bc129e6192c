//! A run's steps are its own lineage's: what a service that knows none does to the row, lends them to nobody.
//!
//! Two kinds of them are beside us on one table, as published or built from the history: services on 0.8, and this
//! library's previous version. Each of their acts is tried at each moment of a run of ours with steps.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use cratestack_interop::{TestDatabase, versions};
use cratestack_runtime::{Claim, ClaimOutcome, Completion, IdempotencyStore, LeaseState, PostgresStore, StepRecord};
use cratestack_sqlx::SqlxIdempotencyStore;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

const PRINCIPAL: &str = "p";
const KEY: &str = "k";
const HOUR: Duration = Duration::from_secs(3_600);
/// The hash of the run's request, and of another one.
const SAME: u8 = 7;
const OTHER: u8 = 8;

/// How a service that knows no steps answers for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Reserved(Uuid),
    Replay,
    InFlight,
    Conflict,
}

/// This library's previous version.
struct Previous {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Previous {
    fn start(url: &str) -> Self {
        let mut process = Command::new(versions::previous_teller())
            .env("DATABASE_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, asks, answers }
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.asks, "{question}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "no answer to {question}");
        answer.trim().to_owned()
    }
}

impl Drop for Previous {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

enum Older {
    Theirs(SqlxIdempotencyStore),
    Previous(Previous),
}

impl Older {
    /// It reserves for an hour: 0.8 the row, the previous version a lease in a row that is kept for two.
    async fn reserve(&mut self, hash: u8) -> Told {
        match self {
            Self::Theirs(store) => {
                use cratestack_axum::idempotency::{IdempotencyStore as _, ReservationOutcome};
                let until = SystemTime::now() + HOUR;
                match store.reserve_or_fetch(PRINCIPAL, KEY, [hash; 32], until).await.unwrap() {
                    ReservationOutcome::Reserved { token } => Told::Reserved(token),
                    ReservationOutcome::Replay(_) => Told::Replay,
                    ReservationOutcome::InFlight => Told::InFlight,
                    ReservationOutcome::Conflict => Told::Conflict,
                }
            }
            Self::Previous(teller) => {
                let answer = teller.ask(&format!("reserve {hash} 3600000 7200000"));
                match answer.split(' ').collect::<Vec<_>>()[..] {
                    ["reserved", token, _] => Told::Reserved(token.parse().unwrap()),
                    ["replay"] => Told::Replay,
                    ["in-flight"] => Told::InFlight,
                    ["conflict"] => Told::Conflict,
                    _ => panic!("{answer}"),
                }
            }
        }
    }

    async fn finish(&mut self, token: Uuid) {
        match self {
            Self::Theirs(store) => {
                use cratestack_axum::idempotency::IdempotencyStore as _;
                store.complete(PRINCIPAL, KEY, token, 201, &[], b"theirs").await.unwrap();
            }
            Self::Previous(teller) => drop(teller.ask(&format!("finish {token}"))),
        }
    }

    async fn release(&mut self, token: Uuid) {
        match self {
            Self::Theirs(store) => {
                use cratestack_axum::idempotency::IdempotencyStore as _;
                store.release(PRINCIPAL, KEY, token).await.unwrap();
            }
            Self::Previous(teller) => drop(teller.ask(&format!("release {token}"))),
        }
    }

    async fn sweep(&mut self) -> u64 {
        match self {
            Self::Theirs(store) => store.garbage_collect().await.unwrap(),
            Self::Previous(teller) => teller.ask("sweep").parse().unwrap(),
        }
    }
}

/// One table, and who is on it.
struct Fleet {
    _database: TestDatabase,
    pool: PgPool,
    store: PostgresStore,
    older: Older,
    is_theirs: bool,
}

async fn fleet(is_theirs: bool, group_commit: bool) -> Fleet {
    let database = TestDatabase::create().await;
    let pool = PgPoolOptions::new().max_connections(5).connect(database.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone()).group_commit(group_commit);
    store.migrate().await.unwrap();
    let older = if is_theirs {
        let pool = cratestack_sqlx::sqlx::PgPool::connect(database.url()).await.unwrap();
        Older::Theirs(SqlxIdempotencyStore::new(pool))
    } else {
        let url = database.url().to_owned();
        Older::Previous(tokio::task::spawn_blocking(move || Previous::start(&url)).await.unwrap())
    };
    Fleet { _database: database, pool, store, older, is_theirs }
}

/// Where a run of ours is that has recorded its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Within its lease.
    Runs,
    /// It died, and its lease is over.
    Silent,
    /// It failed, and has given its key back.
    Released,
    /// It died, and its row's retention is over.
    Expired,
    /// Its outcome is recorded.
    Finished,
}

/// What becomes of a run of theirs, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Dies,
    Finishes,
    Releases,
}

type Steps = Vec<(String, Vec<u8>)>;

impl Fleet {
    async fn reserve(&self, hash: u8) -> ClaimOutcome {
        let claim =
            Claim { principal: PRINCIPAL, key: KEY, request_hash: [hash; 32], lease: HOUR, retention: 2 * HOUR };
        self.store.reserve(claim).await.unwrap()
    }

    async fn reserved(&self, hash: u8) -> (Uuid, u32) {
        let outcome = self.reserve(hash).await;
        let ClaimOutcome::Reserved { token, attempt } = outcome else { panic!("{outcome:?}") };
        (token, attempt)
    }

    async fn record(&self, token: Uuid, name: &str) -> LeaseState {
        let step = StepRecord { principal: PRINCIPAL, key: KEY, token, name, value: name.as_bytes() };
        self.store.record_step(step).await.unwrap()
    }

    async fn steps(&self, token: Uuid) -> Steps {
        let steps = self.store.steps(PRINCIPAL, KEY, token).await.unwrap();
        steps.into_iter().map(|step| (step.name, step.value)).collect()
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }

    /// The lease of whoever has the key is over, as far as the row has one.
    async fn let_lease_end(&self) {
        self.execute(
            "UPDATE cratestack_idempotency SET created_at = NOW() - INTERVAL '2 minutes',
                lease_expires_at = NOW() - INTERVAL '1 minute'
             WHERE lease_expires_at > created_at",
        )
        .await;
    }

    async fn let_row_expire(&self) {
        self.execute(
            "UPDATE cratestack_idempotency SET created_at = NOW() - INTERVAL '2 hours',
                expires_at = NOW() - INTERVAL '1 hour',
                lease_expires_at = CASE WHEN lease_expires_at > created_at THEN NOW() - INTERVAL '90 minutes'
                    ELSE lease_expires_at END",
        )
        .await;
    }

    async fn begin_anew(&self) {
        self.execute("DELETE FROM cratestack_idempotency").await;
    }

    /// A run of ours with two steps, at that moment.
    async fn run_at(&self, moment: Moment) -> Uuid {
        self.begin_anew().await;
        let (token, attempt) = self.reserved(SAME).await;
        assert_eq!(attempt, 1);
        for name in ["charge", "ship"] {
            assert_eq!(self.record(token, name).await, LeaseState::Held);
        }
        match moment {
            Moment::Runs => {}
            Moment::Silent => self.let_lease_end().await,
            Moment::Released => self.store.release(PRINCIPAL, KEY, token).await.unwrap(),
            Moment::Expired => self.let_row_expire().await,
            Moment::Finished => {
                let body = bytes::Bytes::from_static(b"ours");
                let completion =
                    Completion { principal: PRINCIPAL, key: KEY, token, status: 200, headers: &[], body: &body };
                assert_eq!(self.store.finish(completion).await.unwrap(), LeaseState::Held);
            }
        }
        token
    }

    /// What they are told who ask for the key then, whether with the run's own request or with another one.
    fn expected(&self, moment: Moment, hash: u8) -> Expected {
        match (moment, hash == SAME) {
            (Moment::Expired, _) => Expected::Reserved,
            (_, false) => Expected::Conflict,
            (Moment::Finished, true) => Expected::Replay,
            (Moment::Runs, true) => Expected::InFlight,
            // They know no lease: to them it runs until its row expires.
            (Moment::Silent | Moment::Released, true) if self.is_theirs => Expected::InFlight,
            (Moment::Silent | Moment::Released, true) => Expected::Reserved,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Reserved,
    Replay,
    InFlight,
    Conflict,
}

impl Told {
    fn kind(self) -> Expected {
        match self {
            Self::Reserved(_) => Expected::Reserved,
            Self::Replay => Expected::Replay,
            Self::InFlight => Expected::InFlight,
            Self::Conflict => Expected::Conflict,
        }
    }
}

const MOMENTS: [Moment; 5] = [Moment::Runs, Moment::Silent, Moment::Released, Moment::Expired, Moment::Finished];

fn steps(names: &[&str]) -> Steps {
    names.iter().map(|name| ((*name).to_owned(), name.as_bytes().to_vec())).collect()
}

/// Every moment, every request of theirs, everything that may become of it, and then every request of ours.
async fn what_they_do_lends_our_steps_to_nobody(mut fleet: Fleet) {
    let mut taken_over = 0;
    for moment in MOMENTS {
        for (theirs, then, ours) in [SAME, OTHER].into_iter().flat_map(|theirs| {
            [Then::Dies, Then::Finishes, Then::Releases]
                .into_iter()
                .flat_map(move |then| [SAME, OTHER].into_iter().map(move |ours| (theirs, then, ours)))
        }) {
            let case = format!("{moment:?}, they ask for {theirs}, {then:?}, we ask for {ours}");
            let token = fleet.run_at(moment).await;
            let told = fleet.older.reserve(theirs).await;
            assert_eq!(told.kind(), fleet.expected(moment, theirs), "{case}");
            let Told::Reserved(their_token) = told else {
                is_untouched(&fleet, moment, token, &case).await;
                continue;
            };
            taken_over += 1;
            assert_eq!(fleet.steps(token).await, [], "{case}: the run that was taken over");
            assert_eq!(fleet.record(token, "late").await, LeaseState::Lost, "{case}");
            assert_eq!(fleet.steps(their_token).await, [], "{case}: their run");
            match then {
                Then::Dies => {}
                Then::Finishes => fleet.older.finish(their_token).await,
                Then::Releases => fleet.older.release(their_token).await,
            }
            assert_eq!(fleet.steps(token).await, [], "{case}: afterwards");
            fleet.let_lease_end().await;
            let mut outcome = fleet.reserve(ours).await;
            if !matches!(outcome, ClaimOutcome::Reserved { .. }) {
                fleet.let_row_expire().await;
                outcome = fleet.reserve(ours).await;
            }
            let ClaimOutcome::Reserved { token, .. } = outcome else { panic!("{case}: {outcome:?}") };
            assert_eq!(fleet.steps(token).await, [], "{case}: our next run");
            // And it keeps its own.
            assert_eq!(fleet.record(token, "own").await, LeaseState::Held, "{case}");
            assert_eq!(fleet.steps(token).await, steps(&["own"]), "{case}");
            fleet.let_lease_end().await;
            let (next, _) = fleet.reserved(ours).await;
            assert_eq!(fleet.steps(next).await, steps(&["own"]), "{case}: the run after it");
        }
    }
    // Of an expired row with either request; the previous version also takes over what is silent or was released.
    assert_eq!(taken_over, if fleet.is_theirs { 12 } else { 24 });
}

/// They were refused: the run goes on, or its request does.
async fn is_untouched(fleet: &Fleet, moment: Moment, token: Uuid, case: &str) {
    match moment {
        Moment::Finished => {
            let outcome = fleet.reserve(SAME).await;
            assert!(matches!(&outcome, ClaimOutcome::Replay(record) if record.response_body == b"ours"), "{case}");
            return;
        }
        Moment::Runs => {
            assert_eq!(fleet.record(token, "more").await, LeaseState::Held, "{case}");
            fleet.let_lease_end().await;
        }
        Moment::Silent | Moment::Released => assert_eq!(fleet.record(token, "more").await, LeaseState::Held, "{case}"),
        Moment::Expired => panic!("{case}: an expired row is anybody's"),
    }
    assert_eq!(fleet.reserve(OTHER).await, ClaimOutcome::Conflict, "{case}");
    let (next, attempt) = fleet.reserved(SAME).await;
    assert_eq!((attempt, fleet.steps(next).await), (2, steps(&["charge", "ship", "more"])), "{case}");
}

/// Between two takeovers of theirs we record steps of our own; each time none of before is left.
async fn every_takeover_of_theirs_breaks_the_lineage(mut fleet: Fleet) {
    fleet.begin_anew().await;
    for round in 0..4 {
        let (ours, _) = fleet.reserved(SAME).await;
        assert_eq!(fleet.steps(ours).await, [], "round {round}");
        fleet.record(ours, "charge").await;
        fleet.let_lease_end().await;
        // Our own takeovers bring them along.
        let (next, _) = fleet.reserved(SAME).await;
        fleet.record(next, "ship").await;
        assert_eq!(fleet.steps(next).await, steps(&["charge", "ship"]), "round {round}");
        if fleet.is_theirs {
            fleet.let_row_expire().await
        } else {
            fleet.let_lease_end().await
        }
        let Told::Reserved(_) = fleet.older.reserve(SAME).await else { panic!("round {round}") };
        if fleet.is_theirs { fleet.let_row_expire().await } else { fleet.let_lease_end().await }
    }
}

/// What has expired, steps and all, they sweep as anything else; and nothing of what has not.
async fn they_sweep_what_has_expired(mut fleet: Fleet) {
    for moment in MOMENTS {
        let token = fleet.run_at(moment).await;
        let is_over = moment == Moment::Expired;
        assert_eq!(fleet.older.sweep().await, u64::from(is_over), "{moment:?}");
        let kept =
            if matches!(moment, Moment::Expired | Moment::Finished) { vec![] } else { steps(&["charge", "ship"]) };
        assert_eq!(fleet.steps(token).await, kept, "{moment:?}");
        if is_over {
            let (next, attempt) = fleet.reserved(SAME).await;
            assert_eq!((attempt, fleet.steps(next).await), (1, vec![]));
        }
    }
}

/// An operator whose command is of the version before removes the row, and the steps with it.
async fn what_their_operator_removes_is_gone(mut fleet: Fleet) {
    for moment in MOMENTS {
        for question in ["release-by-operator", "forget-by-operator"] {
            let token = fleet.run_at(moment).await;
            let Older::Previous(teller) = &mut fleet.older else { panic!("0.8 has no such command") };
            let answer = teller.ask(question);
            let is_removed = answer.contains("Removed");
            let kept = match moment {
                Moment::Runs => !is_removed,
                Moment::Silent | Moment::Released => is_removed,
                Moment::Expired | Moment::Finished => is_removed == (question == "forget-by-operator"),
            };
            assert!(kept, "{moment:?}: {question}: {answer}");
            if moment == Moment::Runs {
                assert_eq!(fleet.steps(token).await, steps(&["charge", "ship"]));
            } else if is_removed {
                assert_eq!(fleet.steps(token).await, []);
                let (next, attempt) = fleet.reserved(OTHER).await;
                assert_eq!((attempt, fleet.steps(next).await), (1, vec![]), "{moment:?}: {question}");
            }
        }
    }
}

/// They take the row over while a step of ours is on its way: of the two, one has it.
async fn a_step_beside_their_takeover_is_recorded_or_lost(mut fleet: Fleet) {
    let (mut held, mut lost) = (0, 0);
    for _ in 0..60 {
        fleet.begin_anew().await;
        let (ours, _) = fleet.reserved(SAME).await;
        if fleet.is_theirs {
            fleet.let_row_expire().await
        } else {
            fleet.let_lease_end().await
        }
        let recording = tokio::spawn({
            let store = fleet.store.clone();
            async move {
                let step = StepRecord { principal: PRINCIPAL, key: KEY, token: ours, name: "charge", value: b"" };
                store.record_step(step).await.unwrap()
            }
        });
        let told = fleet.older.reserve(SAME).await;
        let Told::Reserved(theirs) = told else { panic!("{told:?}") };
        match recording.await.unwrap() {
            LeaseState::Held => held += 1,
            _ => lost += 1,
        }
        assert_eq!(fleet.steps(theirs).await, []);
        assert_eq!(fleet.steps(ours).await, []);
        assert_eq!(fleet.record(ours, "late").await, LeaseState::Lost);
    }
    println!("a step was recorded before their takeover {held} times, and lost to it {lost} times");
}

/// Each beside 0.8 and beside the previous version, with group commit and without.
macro_rules! beside_each {
    ($($name:ident),* $(,)?) => {
        mod beside_theirs {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                super::$name(super::fleet(true, true).await).await;
            })*
        }
        mod beside_the_previous_version {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                super::$name(super::fleet(false, true).await).await;
            })*
        }
        mod beside_the_previous_version_without_group_commit {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                super::$name(super::fleet(false, false).await).await;
            })*
        }
    };
}

beside_each! {
    what_they_do_lends_our_steps_to_nobody,
    every_takeover_of_theirs_breaks_the_lineage,
    they_sweep_what_has_expired,
    a_step_beside_their_takeover_is_recorded_or_lost,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_previous_version_s_operator_removes_is_gone() {
    what_their_operator_removes_is_gone(fleet(false, true).await).await;
}
