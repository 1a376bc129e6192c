//! Both programs on one table while it is upgraded from version 1, behind somebody who holds the upgrade up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use cratestack_runtime::{IdempotencyStore, PostgresStore, ReservationOutcome};
use cratestack_schema::{Dialect, IDEMPOTENCY};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::databases::{pool, postgres, run};

const DAY: Duration = Duration::from_hours(24);

/// The statements of a program that knows version 1 alone, as published.
#[derive(Clone)]
struct FirstVersion(PgPool);

impl FirstVersion {
    async fn reserve_or_fetch(&self, key: &str) -> Result<ReservationOutcome, sqlx::Error> {
        let token = Uuid::new_v4();
        let reserved = sqlx::query(
            "INSERT INTO cratestack_idempotency (
                principal_fingerprint, key, request_hash, reservation_id, expires_at
             ) VALUES ($1, $2, $3, $4, NOW() + INTERVAL '1 day')
             ON CONFLICT (principal_fingerprint, key) DO UPDATE SET
                request_hash = EXCLUDED.request_hash, reservation_id = EXCLUDED.reservation_id,
                response_status = NULL, response_headers = NULL, response_body = NULL,
                created_at = NOW(), expires_at = EXCLUDED.expires_at
             WHERE cratestack_idempotency.expires_at <= NOW()
             RETURNING request_hash, reservation_id, response_status, response_headers,
                       response_body, created_at, expires_at, (xmax = 0) AS was_inserted",
        )
        .bind("p")
        .bind(key)
        .bind([7_u8; 32].as_slice())
        .bind(token)
        .fetch_optional(&self.0)
        .await?;
        if reserved.is_some() {
            return Ok(ReservationOutcome::Reserved { token });
        }
        let row = sqlx::query(
            "SELECT request_hash, response_status, response_headers, response_body, created_at, expires_at
             FROM cratestack_idempotency WHERE principal_fingerprint = $1 AND key = $2",
        )
        .bind("p")
        .bind(key)
        .fetch_one(&self.0)
        .await?;
        let Some(body) = row.get::<Option<Vec<u8>>, _>(3) else { return Ok(ReservationOutcome::InFlight) };
        Ok(ReservationOutcome::Replay(cratestack_runtime::IdempotencyRecord {
            key: key.to_owned(),
            principal_fingerprint: "p".to_owned(),
            request_hash: [7; 32],
            response_status: u16::try_from(row.get::<i32, _>(1)).unwrap(),
            response_headers: row.get::<Option<Vec<u8>>, _>(2).unwrap_or_default(),
            response_body: body,
            created_at: SystemTime::now(),
            expires_at: SystemTime::now(),
        }))
    }

    async fn complete(&self, key: &str, token: Uuid, body: &[u8]) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE cratestack_idempotency SET response_status = $1, response_headers = $2, response_body = $3
             WHERE principal_fingerprint = $4 AND key = $5 AND reservation_id = $6 AND response_body IS NULL",
        )
        .bind(201_i32)
        .bind(&b""[..])
        .bind(body)
        .bind("p")
        .bind(key)
        .bind(token)
        .execute(&self.0)
        .await
        .map(drop)
    }
}

/// Either program, as a request sees it.
#[derive(Clone)]
enum Service {
    First(FirstVersion),
    Latest(PostgresStore),
}

impl Service {
    async fn handle(&self, key: &str, effects: &Effects) -> Result<Vec<u8>, String> {
        for _ in 0..500 {
            let outcome = match self {
                Self::First(old) => old.reserve_or_fetch(key).await.map_err(|error| error.to_string())?,
                Self::Latest(store) => store
                    .reserve_or_fetch("p", key, [7; 32], SystemTime::now() + DAY)
                    .await
                    .map_err(|error| error.to_string())?,
            };
            match outcome {
                ReservationOutcome::Reserved { token } => {
                    let body = effects.happen(key);
                    match self {
                        Self::First(old) => {
                            old.complete(key, token, &body).await.map_err(|error| error.to_string())?;
                        }
                        Self::Latest(store) => {
                            store
                                .complete("p", key, token, 201, &[], &body)
                                .await
                                .map_err(|error| error.to_string())?;
                        }
                    }
                    return Ok(body);
                }
                ReservationOutcome::Replay(record) => return Ok(record.response_body),
                ReservationOutcome::InFlight => tokio::time::sleep(Duration::from_millis(5)).await,
                ReservationOutcome::Conflict => return Err(format!("{key} conflicts")),
            }
        }
        Err(format!("{key} is in flight for good"))
    }
}

/// What really happened, once for each key or a test fails.
#[derive(Clone, Default)]
struct Effects(Arc<Mutex<HashMap<String, u32>>>);

impl Effects {
    fn happen(&self, key: &str) -> Vec<u8> {
        let mut all = self.0.lock().unwrap();
        let count = all.entry(key.to_owned()).or_default();
        *count += 1;
        format!("{key}: effect {count}").into_bytes()
    }
}

const FOREIGN: i32 = 5_000;

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines)] // One story.
async fn both_programs_work_while_the_table_is_upgraded_behind_a_long_reader() {
    let (database, admin) = postgres(2).await;
    run(&admin, &IDEMPOTENCY.ddl(Dialect::Postgres, 1).unwrap()).await;
    // Rows of others: finished, in flight, expired.
    run(
        &admin,
        &format!(
            "INSERT INTO cratestack_idempotency
             SELECT 'p', 'foreign' || n, decode(repeat('07', 32), 'hex'), gen_random_uuid(),
                CASE WHEN n % 10 < 8 THEN 201 END, CASE WHEN n % 10 < 8 THEN '\\x'::bytea END,
                CASE WHEN n % 10 < 8 THEN convert_to('foreign' || n, 'UTF8') END, NOW() - INTERVAL '1 hour',
                NOW() + CASE WHEN n % 10 < 9 THEN 1 ELSE -1 END * INTERVAL '1 minute' * (n % 60 + 30)
             FROM generate_series(1, {FOREIGN}) AS n"
        ),
    )
    .await;
    let sum = "SELECT md5(string_agg(t::text, ',' ORDER BY key)) FROM (SELECT principal_fingerprint, key, request_hash,
        reservation_id, response_status, response_headers, response_body, created_at, expires_at
        FROM cratestack_idempotency WHERE key LIKE 'foreign%') AS t";
    let before: String = sqlx::query_scalar(sum).fetch_one(&admin).await.unwrap();

    let traffic = pool(database.url(), 30).await;
    let effects = Effects::default();
    let old = Service::First(FirstVersion(traffic.clone()));
    let new = Service::Latest(PostgresStore::new(traffic.clone()));
    let upgraded = Arc::new(std::sync::atomic::AtomicBool::new(false));

    let load = {
        let (effects, upgraded) = (effects.clone(), upgraded.clone());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            let mut requests = Vec::new();
            for n in 0..1_000 {
                ticks.tick().await;
                // Every fourth is the request before once more, at the same time or a little later.
                let key = if n % 4 == 3 { format!("k{}", n - 1) } else { format!("k{n}") };
                let latest = upgraded.load(std::sync::atomic::Ordering::SeqCst) && n % 2 == 1;
                let (service, effects) = (if latest { new.clone() } else { old.clone() }, effects.clone());
                requests.push(tokio::spawn(async move {
                    let started = Instant::now();
                    let answer = service.handle(&key, &effects).await;
                    (key, answer, started.elapsed(), latest)
                }));
            }
            let mut answers = Vec::new();
            for request in requests {
                answers.push(request.await.unwrap());
            }
            answers
        })
    };

    tokio::time::sleep(Duration::from_millis(1_200)).await;
    // Somebody reads the table in a transaction that takes its time. What waits for the table's lock waits for this.
    let reader = pool(database.url(), 1).await;
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT COUNT(*) FROM cratestack_idempotency").execute(&mut *reading).await.unwrap();
    let reading = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        reading.rollback().await.unwrap();
    });
    let starts: Vec<_> = (0..20)
        .map(|_| {
            let options = traffic.connect_options();
            tokio::spawn(async move {
                let own = sqlx::postgres::PgPoolOptions::new()
                    .max_connections(1)
                    .acquire_timeout(Duration::from_mins(1))
                    .connect_with((*options).clone())
                    .await
                    .unwrap();
                PostgresStore::new(own).migrate().await
            })
        })
        .collect();
    let migrating = Instant::now();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    let migrated = migrating.elapsed();
    upgraded.store(true, std::sync::atomic::Ordering::SeqCst);
    reading.await.unwrap();

    let answers = load.await.unwrap();
    let failures: Vec<_> = answers.iter().filter_map(|(_, answer, ..)| answer.as_ref().err()).collect();
    assert_eq!(failures, Vec::<&String>::new());
    for (key, answer, ..) in &answers {
        assert_eq!(answer.as_deref(), Ok(format!("{key}: effect 1").as_bytes()), "{key}");
    }
    assert!(effects.0.lock().unwrap().values().all(|count| *count == 1));
    let by_latest = answers.iter().filter(|(.., latest)| *latest).count();
    assert!(by_latest > 100, "{by_latest} requests met the new program");
    let longest = answers.iter().map(|(_, _, took, _)| *took).max().unwrap();
    println!(
        "upgraded in {migrated:?} by 20 processes at once behind a reader of 1 s; {} requests, {by_latest} by the new \
         program, 0 failures, longest {longest:?}",
        answers.len()
    );
    assert!(longest < Duration::from_secs(3), "{longest:?}");

    assert!(PostgresStore::new(admin.clone()).check().await.unwrap().is_clean());
    let after: String = sqlx::query_scalar(sum).fetch_one(&admin).await.unwrap();
    assert_eq!(before, after, "rows of others are as they were");
    let store = PostgresStore::new(traffic);
    for n in 1..=200 {
        let key = format!("foreign{n}");
        let outcome = store.reserve_or_fetch("p", &key, [7; 32], SystemTime::now() + DAY).await.unwrap();
        match (n % 10, outcome) {
            (0..8, ReservationOutcome::Replay(record)) => assert_eq!(record.response_body, key.as_bytes()),
            (8, ReservationOutcome::InFlight) | (9, ReservationOutcome::Reserved { .. }) => {}
            (_, other) => panic!("{key}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_index_is_built_by_one_of_20_starts_while_others_write() {
    let (database, admin) = postgres(2).await;
    run(&admin, &IDEMPOTENCY.ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap()).await;
    // What a build that was cut off leaves behind.
    let cut_off = "UPDATE pg_index SET indisvalid = false
        WHERE indexrelid = 'cratestack_idempotency_expires_idx'::regclass";
    run(&admin, cut_off).await;
    let traffic = pool(database.url(), 4).await;
    let store = PostgresStore::new(traffic);
    let starts: Vec<_> = (0..20)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move {
                let own = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
                PostgresStore::new(own).migrate().await
            })
        })
        .collect();
    for n in 0..100 {
        let key = format!("k{n}");
        store.reserve_or_fetch("p", &key, [7; 32], SystemTime::now() + DAY).await.unwrap();
    }
    for start in starts {
        start.await.unwrap().unwrap();
    }
    let report = store.check().await.unwrap();
    assert!(report.is_clean(), "{report}");
}
