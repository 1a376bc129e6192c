//! Outcomes that a process has seen: replayed without asking the store, never past their end, and not for long past the
//! session of the server that they were committed in.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::http::StatusCode;
use bytes::Bytes;
use cratestack_runtime::{Idempotency, IdempotencyStore as _, PostgresStore, SqliteStore, StoreError};
use cratestack_tests::postgres::{PostgresOptions, PostgresServer, RoundTrips, TestDatabase};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::databases::{Service, postgres_on, postgres_pool, sqlite};

/// A process of a fleet whose round trips are counted.
struct Process {
    service: Service,
    pool: PgPool,
    round_trips: RoundTrips,
}

impl Process {
    async fn on(database: &TestDatabase, set: impl FnOnce(Idempotency) -> Idempotency) -> Self {
        let round_trips = RoundTrips::before(database.url()).await;
        let pool = postgres_pool(round_trips.url(), 2).await;
        let store = PostgresStore::new(pool.clone());
        store.migrate().await.unwrap();
        let process = Self { service: Service::over(set(Idempotency::new(store))), pool, round_trips };
        // The first outcome that could be kept lets the process look at the store's clock.
        assert_eq!(process.post("/pay", &uuid::Uuid::new_v4().to_string()).await.0, StatusCode::CREATED);
        tokio::time::sleep(Duration::from_millis(200)).await;
        process
    }

    /// What was answered, and whether the store was asked.
    async fn post(&self, path: &str, key: &str) -> (StatusCode, bool, Bytes, bool) {
        // A pool looks at a connection that comes back to it, which is no question of this request's.
        while self.pool.num_idle() < self.pool.size() as usize {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = self.round_trips.count();
        let (status, headers, body) = self.service.post(path, key).await;
        (status, headers.contains_key("idempotency-replayed"), body, self.round_trips.count() > before)
    }
}

const ASKED: bool = true;

impl Process {
    /// The outcome, once it is replayed without asking: it is kept just behind the answer that it was first told in.
    async fn unasked(&self, key: &str) -> Bytes {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            let (status, replayed, body, asked) = self.post("/pay", key).await;
            assert_eq!((status, replayed), (StatusCode::CREATED, true));
            if !asked {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it is not kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_recorded_here_is_replayed_without_asking() {
    let database = TestDatabase::create().await;
    let here = Process::on(&database, |idempotency| idempotency).await;
    let (status, replayed, body, asked) = here.post("/pay", "k1").await;
    assert_eq!((status, replayed, asked), (StatusCode::CREATED, false, ASKED));
    assert_eq!(here.unasked("k1").await, body);
    let mut unasked = false;
    for _ in 0..20 {
        // A look at the server's session beside it counts as a question.
        here.unasked("k1").await;
        let (status, _, problem, asked) = here.post("/held", "k1").await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(String::from_utf8_lossy(&problem).contains("idempotency_key_conflict"));
        unasked |= !asked;
    }
    assert!(unasked);
    assert_eq!(here.service.effects(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_store_told_is_not_asked_for_again() {
    let database = TestDatabase::create().await;
    let (here, there) = (Process::on(&database, |it| it).await, Process::on(&database, |it| it).await);
    let (_, _, body, _) = there.post("/pay", "k1").await;
    assert_eq!(here.post("/pay", "k1").await, (StatusCode::CREATED, true, body.clone(), ASKED));
    assert_eq!(here.unasked("k1").await, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_not_kept_past_its_end() {
    let ttl = Duration::from_secs(3);
    let database = TestDatabase::create().await;
    let recorder = Process::on(&database, |it| it.ttl(ttl).lease(ttl)).await;
    let reader = Process::on(&database, |it| it.ttl(ttl).lease(ttl)).await;
    recorder.post("/pay", "k1").await;
    reader.post("/pay", "k1").await;
    for process in [&recorder, &reader] {
        process.unasked("k1").await;
    }
    tokio::time::sleep(ttl).await;
    // Another process takes the expired key, and is at it: nobody is told the old outcome.
    let other = Process::on(&database, |it| it).await;
    let running = tokio::spawn({
        let service = other.service.clone();
        async move { service.post("/held", "k1").await }
    });
    other.service.waiting.notified().await;
    for process in [&recorder, &reader] {
        assert_eq!(process.post("/held", "k1").await.0, StatusCode::CONFLICT);
        assert_eq!(process.post("/pay", "k1").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    other.service.gate.notify_one();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_turned_off_and_a_key_can_be_forgotten() {
    let database = TestDatabase::create().await;
    let off = Process::on(&database, |it| it.replay_cache_bytes(0)).await;
    let on = Process::on(&database, |it| it).await;
    off.post("/pay", "k1").await;
    assert!(off.post("/pay", "k1").await.3);
    let pool = postgres_pool(database.url(), 1).await;
    let delete = "DELETE FROM cratestack_idempotency WHERE key = $1 RETURNING principal_fingerprint";
    for n in 0.. {
        let key = format!("on-{n}");
        on.post("/pay", &key).await;
        on.unasked(&key).await;
        let principal: String = sqlx::query_scalar(delete).bind(&key).fetch_one(&pool).await.unwrap();
        let (_, known, ..) = on.post("/pay", &key).await;
        // It is asked for all the same where the last look at the session was a second ago.
        if known {
            on.service.idempotency.forget(&principal, &key);
            let (status, replayed, ..) = on.post("/pay", &key).await;
            assert_eq!((status, replayed), (StatusCode::CREATED, false), "it runs again");
            return;
        }
        assert!(n < 20, "a row that is gone is still known here");
    }
}

#[tokio::test]
async fn sqlite_shows_its_clock_too() {
    let (_folder, pool, store) = sqlite(2).await;
    let service = Service::over(Idempotency::new(store));
    for n in 0.. {
        let key = n.to_string();
        let (_, _, body) = service.post("/pay", &key).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        sqlx::query("DELETE FROM cratestack_idempotency").execute(&pool).await.unwrap();
        if service.post("/pay", &key).await.2 == body {
            return;
        }
        assert!(n < 20, "what the process has seen it need not ask for");
    }
}

/// What goes with the last connection goes without the process.
#[tokio::test]
async fn a_database_in_memory_shows_no_session() {
    let pool = sqlx::SqlitePool::connect_lazy("sqlite::memory:").unwrap();
    assert_eq!(SqliteStore::new(pool).now().await, Ok(None));
}

impl Process {
    /// Repeats the request until it is no replay.
    async fn until_it_runs(&self, key: &str) {
        let begun = Instant::now();
        while self.post("/pay", key).await.1 {
            assert!(begun.elapsed() < Duration::from_secs(30), "it is still told what is lost");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_has_lost_is_not_replayed() {
    // What is committed is not on disk until much later.
    let server = PostgresOptions::new()
        .set("synchronous_commit", "off")
        .set("wal_writer_delay", "10s")
        .set("wal_writer_flush_after", "0")
        .start()
        .await;
    let database = TestDatabase::create_on(&server).await;
    let here = Process::on(&database, |it| it).await;
    for n in 0.. {
        let key = format!("k{n}");
        sqlx::query("CHECKPOINT").execute(&here.pool).await.unwrap();
        let effects = here.service.effects();
        assert_eq!(here.post("/pay", &key).await.0, StatusCode::CREATED);
        here.unasked(&key).await;
        server.kill().await;
        server.start().await;
        let rows = "SELECT COUNT(*) FROM cratestack_idempotency WHERE key = $1";
        let kept: i64 = sqlx::query_scalar(rows).bind(&key).fetch_one(&here.pool).await.unwrap();
        if kept == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (status, replayed, ..) = here.post("/pay", &key).await;
            assert_eq!((status, replayed), (StatusCode::CREATED, false), "the effect is lost with it");
            assert_eq!(here.service.effects(), effects + 2);
            return;
        }
        assert!(n < 20, "the server was quicker than its settings allow");
    }
}

const LOOK: &str = "query LIKE '%pg_stat_get_activity(%' AND pid <> pg_backend_pid() AND datname = current_database()";

#[tokio::test(flavor = "multi_thread")]
async fn with_the_session_all_that_is_kept_ends() {
    let database = TestDatabase::create().await;
    let here = Process::on(&database, |it| it).await;
    let pool = postgres_pool(database.url(), 1).await;
    here.post("/pay", "k").await;
    here.unasked("k").await;
    let sessions = format!("SELECT COUNT(*) FROM pg_stat_activity WHERE {LOOK}");
    let sessions: i64 = sqlx::query_scalar(AssertSqlSafe(sessions)).fetch_one(&pool).await.unwrap();
    assert_eq!(sessions, 1, "one connection for all samples");
    // As a crash would, but for the other sessions.
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LOOK}");
    sqlx::query("DELETE FROM cratestack_idempotency").execute(&pool).await.unwrap();
    sqlx::query(AssertSqlSafe(end)).execute(&pool).await.unwrap();
    here.until_it_runs("k").await;
    // And kept again, as of the next session.
    here.unasked("k").await;
}

#[tokio::test]
async fn a_session_is_one_as_long_as_it_lives_and_never_one_of_a_standby() {
    let server = PostgresServer::launch().await;
    let (_database, pool, store) = postgres_on(&server, 2).await;
    let first = store.now().await.unwrap().unwrap();
    assert_eq!(store.now().await.unwrap().unwrap().session, first.session);
    let other = PostgresStore::new(pool.clone()).now().await.unwrap().unwrap();
    assert_ne!(other.session, first.session);
    let end = format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {LOOK}");
    sqlx::query(AssertSqlSafe(end)).execute(&pool).await.unwrap();
    let next = store.now().await.unwrap().unwrap();
    assert_ne!(next.session, first.session, "one that was broken is followed by another at once");

    // Whoever starts with this file in its directory is a standby.
    let standby = "DO $$ BEGIN EXECUTE format('COPY (SELECT) TO %L', \
                   current_setting('data_directory') || '/standby.signal'); END $$";
    sqlx::raw_sql(standby).execute(&pool).await.unwrap();
    server.stop_immediate().await;
    assert!(matches!(store.now().await, Err(StoreError::Unavailable(_))));
    server.start().await;
    for _ in 0..2 {
        assert_eq!(store.now().await, Ok(None), "a server in recovery");
    }
    sqlx::query("SELECT pg_promote()").execute(&pool).await.unwrap();
    let promoted = store.now().await.unwrap().unwrap();
    assert_ne!(promoted.session, next.session);
    assert_eq!(store.now().await.unwrap().unwrap().session, promoted.session);
    pool.close().await;
    assert!(matches!(store.now().await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_role_without_rights_sees_its_session_and_one_with_a_role_set_has_no_cache() {
    let server = PostgresServer::launch().await;
    let roles = "CREATE ROLE stranger LOGIN NOINHERIT; CREATE ROLE group_role; CREATE ROLE member LOGIN NOINHERIT;
                 GRANT group_role TO member; ALTER ROLE member SET role = group_role;
                 REVOKE ALL ON SCHEMA public FROM PUBLIC";
    sqlx::raw_sql(roles).execute(&postgres_pool(&server.url(), 1).await).await.unwrap();
    let store_of = |role: &str| {
        let url = server.url().replace("postgres@", &format!("{role}@"));
        PostgresStore::new(PgPool::connect_lazy(&url).unwrap())
    };
    let stranger = store_of("stranger");
    let first = stranger.now().await.unwrap().unwrap();
    let apart = first.now.duration_since(SystemTime::now()).unwrap_or_else(|error| error.duration());
    assert!(apart < Duration::from_secs(60), "{apart:?}");
    assert_eq!(stranger.now().await.unwrap().unwrap().session, first.session);
    assert_eq!(store_of("member").now().await, Ok(None));
}

#[tokio::test]
async fn behind_a_pooler_that_hides_sessions_there_is_no_cache() {
    let database = TestDatabase::create().await;
    let pooler = Pooler::before(database.url()).await;
    let store = PostgresStore::new(PgPool::connect_lazy(&pooler.url).unwrap());
    // Two statements: the session, and whether outcomes were removed.
    assert!(store.now().await.unwrap().is_some());
    for _ in 0..3 {
        assert_eq!(store.now().await, Ok(None), "another statement, another session");
    }
    assert_eq!(pooler.statements.load(Ordering::SeqCst), 3, "nor does anybody look");
}

/// Lends one of two sessions for each transaction, as `PgBouncer` does in transaction mode, the other one for the next.
struct Pooler {
    url: String,
    statements: Arc<AtomicUsize>,
}

impl Pooler {
    async fn before(url: &str) -> Self {
        let server = url.split(['@', '/']).nth(3).unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let statements = Arc::new(AtomicUsize::new(0));
        let pooler = Self { url: url.replace(&server, &own) + "?sslmode=disable", statements: Arc::clone(&statements) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Self::serve(client, server.clone(), Arc::clone(&statements)));
            }
        });
        pooler
    }

    async fn serve(mut client: TcpStream, server: String, statements: Arc<AtomicUsize>) -> io::Result<()> {
        let mut startup = client.read_u32().await?.to_be_bytes().to_vec();
        let rest = u32::from_be_bytes(startup[..4].try_into().unwrap()) - 4;
        (&mut client).take(rest.into()).read_to_end(&mut startup).await?;
        let mut sessions = VecDeque::new();
        let mut greeting = Vec::new();
        for _ in 0..2 {
            let mut session = TcpStream::connect(&server).await?;
            session.write_all(&startup).await?;
            greeting = Self::reply(&mut session).await?;
            sessions.push_back(session);
        }
        client.write_all(&greeting).await?;
        loop {
            let message = Self::message(&mut client).await?;
            if message[0] == b'Q' {
                statements.fetch_add(1, Ordering::SeqCst);
            }
            sessions.rotate_left(1);
            sessions[0].write_all(&message).await?;
            client.write_all(&Self::reply(&mut sessions[0]).await?).await?;
        }
    }

    /// All until the server is ready for the next statement.
    async fn reply(session: &mut TcpStream) -> io::Result<Vec<u8>> {
        let mut reply = Vec::new();
        loop {
            let message = Self::message(session).await?;
            reply.extend_from_slice(&message);
            if message[0] == b'Z' {
                return Ok(reply);
            }
        }
    }

    async fn message(from: &mut TcpStream) -> io::Result<Vec<u8>> {
        let (kind, length) = (from.read_u8().await?, from.read_u32().await?);
        let mut message = vec![kind];
        message.extend_from_slice(&length.to_be_bytes());
        from.take(u64::from(length) - 4).read_to_end(&mut message).await?;
        Ok(message)
    }
}
