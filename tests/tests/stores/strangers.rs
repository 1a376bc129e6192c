//! A role without any right on the table, in the same database: what it can hold up, and what it cannot.

use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::extract::{FromRef, State};
use axum::http::{Request, StatusCode};
use axum::routing::post;
use axum::{Router, body::Body};
use cratestack_runtime::{
    Claim, ClaimOutcome, Completion, Idempotency, IdempotencyStore, PostgresStore, Tx, idempotent,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres};
use tower::ServiceExt as _;

use crate::databases::postgres;

/// A role that may log in and nothing else, dropped by hand: a server outlives its test.
struct Role {
    name: String,
    admin: PgPool,
}

impl Role {
    async fn create(admin: &PgPool, database: &str, what: &str) -> Self {
        let name = format!("{database}_{what}");
        run(admin, &format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'")).await;
        Self { name, admin: admin.clone() }
    }

    /// Logs in: the server then knows the session as this role's.
    fn options(&self, url: &str) -> PgConnectOptions {
        let options: PgConnectOptions = url.parse().unwrap();
        options.username(&self.name).password("secret")
    }

    async fn drop(self) {
        run(&self.admin, &format!("DROP OWNED BY {name} CASCADE; DROP ROLE {name}", name = self.name)).await;
    }
}

async fn run(pool: &PgPool, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(pool).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

fn claim(key: &str) -> Claim<'_> {
    let lease = Duration::from_secs(600);
    Claim { principal: "p", key, request_hash: [0; 32], lease, retention: lease }
}

async fn within<T>(seconds: u64, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), what).await.expect("it waits for a stranger")
}

async fn finish(store: &PostgresStore, key: &str) {
    let ClaimOutcome::Reserved { token, .. } = store.reserve(claim(key)).await.unwrap() else { panic!() };
    let body = &bytes::Bytes::new();
    within(5, store.finish(Completion { principal: "p", key, token, status: 200, headers: &[], body })).await.unwrap();
}

const CRST: i32 = 0x6372_7374;

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_every_lock_stops_neither_sweeps_nor_upgrades_nor_waiters() {
    let (database, pool, store) = postgres(8).await;
    let role = Role::create(&pool, database.name(), "stranger").await;
    let mut stranger = PgConnection::connect_with(&role.options(database.url())).await.unwrap();
    let refused = sqlx::query("SELECT FROM cratestack_idempotency").execute(&mut stranger).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");

    // Waiting: the locks of a table are those that one who waits for its keys holds.
    let watch = store.watch("p", "k").await.unwrap().expect("this server notifies");
    let class: i32 = sqlx::query_scalar(
        "SELECT classid::bigint::int FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    drop(watch);
    let elsewhere = PostgresStore::new(pool.clone());
    for (take, give_back) in
        [("pg_advisory_lock", "pg_advisory_unlock"), ("pg_advisory_lock_shared", "pg_advisory_unlock_shared")]
    {
        let all =
            |function: &str| AssertSqlSafe(format!("SELECT {function}({class}, n) FROM generate_series(0, 255) AS n"));
        sqlx::query(all(take)).execute(&mut stranger).await.unwrap();
        let mut watch = within(5, elsewhere.watch("p", take)).await.unwrap().expect("this server notifies");
        finish(&store, take).await;
        within(5, watch.changed()).await;
        sqlx::query(all(give_back)).execute(&mut stranger).await.unwrap();
    }

    // Sweeping, and whatever else may have a lock that is named for the table.
    sqlx::query("SELECT pg_advisory_lock($1, 'cratestack_idempotency'::regclass::oid::int)")
        .bind(CRST)
        .execute(&mut stranger)
        .await
        .unwrap();
    run(&pool, "UPDATE cratestack_idempotency SET expires_at = NOW() - INTERVAL '1 day'").await;
    assert_eq!(within(5, store.sweep(100)).await.unwrap(), 2);

    // Upgrading, also where a column or the index is missing.
    sqlx::query("SELECT pg_advisory_lock($1, n) FROM generate_series(0, 9) AS n")
        .bind(CRST)
        .execute(&mut stranger)
        .await
        .unwrap();
    run(&pool, "DROP INDEX cratestack_idempotency_expires_idx; ALTER TABLE cratestack_idempotency DROP COLUMN attempt")
        .await;
    within(15, store.migrate()).await.unwrap();
    let report = store.check().await.unwrap();
    assert!(report.is_clean(), "{report}");
    run(&pool, "DROP TABLE cratestack_idempotency").await;
    within(15, store.migrate()).await.unwrap();
    finish(&store, "created").await;
    stranger.close().await.unwrap();
    role.drop().await;
}

/// An equal's lock counts: only one upgrades at a time.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_leaves_it_to_a_peer_that_is_at_it() {
    let (_database, pool, store) = postgres(4).await;
    run(&pool, "ALTER TABLE cratestack_idempotency DROP COLUMN attempt").await;
    let mut peer = pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock($1, 1)").bind(CRST).execute(&mut *peer).await.unwrap();
    let migrating = tokio::spawn(async move { store.migrate().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!migrating.is_finished());
    sqlx::query("ALTER TABLE cratestack_idempotency ADD COLUMN attempt INT").execute(&mut *peer).await.unwrap();
    peer.commit().await.unwrap();
    migrating.await.unwrap().unwrap();
}

#[derive(Clone)]
struct App(Idempotency<PostgresStore>);

impl FromRef<App> for Idempotency<PostgresStore> {
    fn from_ref(app: &App) -> Self {
        app.0.clone()
    }
}

#[idempotent(transaction, wait = "1s")]
async fn note(State(_): State<App>, mut tx: Tx<Postgres>) -> Result<StatusCode, StatusCode> {
    let noted = sqlx::query("SELECT 1").execute(&mut *tx).await;
    noted.map(|_| StatusCode::CREATED).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn request(app: &App) -> StatusCode {
    let router = Router::new().route("/note", post(note)).with_state(app.clone());
    let request = Request::post("/note").header("authorization", "Bearer alice").header("idempotency-key", "k");
    router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statements_of_the_page_keep_strangers_from_our_locks() {
    let (database, pool, _) = postgres(2).await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guarantees.md");
    let page = fs::read_to_string(page).unwrap();
    let statements = page.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of SQL");
    let ours = Role::create(&pool, database.name(), "ours").await;
    let stranger = Role::create(&pool, database.name(), "stranger").await;
    let stranger_pool =
        PgPoolOptions::new().max_connections(1).connect_with(stranger.options(database.url())).await.unwrap();
    let variants: Vec<String> = sqlx::query_scalar(
        "SELECT proname || CASE pronargs WHEN 1 THEN '(1)' ELSE '(1, 1)' END FROM pg_proc
         WHERE proname LIKE '%advisory%' AND proname NOT LIKE '%unlock%' ORDER BY 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(variants.len(), 16, "{variants:?}");
    let may = async |variant: &str| {
        sqlx::query(AssertSqlSafe(format!("SELECT {variant}"))).execute(&stranger_pool).await.is_ok()
    };
    for variant in &variants {
        assert!(may(variant).await, "{variant}");
        run(&stranger_pool, "SELECT pg_advisory_unlock_all()").await;
    }

    run(&pool, &statements.replace("payments", &ours.name)).await;
    for variant in &variants {
        assert!(!may(variant).await, "{variant}");
    }

    // The service does all that it does.
    run(&pool, &format!("DROP TABLE cratestack_idempotency; GRANT ALL ON SCHEMA public TO {}", ours.name)).await;
    let pool_of_ours =
        PgPoolOptions::new().max_connections(4).connect_with(ours.options(database.url())).await.unwrap();
    let store = PostgresStore::new(pool_of_ours.clone());
    store.migrate().await.unwrap();
    run(&pool, "DROP INDEX cratestack_idempotency_expires_idx").await;
    store.migrate().await.unwrap();
    assert!(store.check().await.unwrap().is_clean());
    let mut watch = PostgresStore::new(pool_of_ours).watch("p", "k").await.unwrap().expect("this server notifies");
    finish(&store, "k").await;
    within(5, watch.changed()).await;
    finish(&store.clone().group_commit(false), "l").await;
    let app = App(Idempotency::transactional(store.clone()));
    assert_eq!((request(&app).await, request(&app).await), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(store.sweep(10).await.unwrap(), 0);
    stranger_pool.close().await;
    stranger.drop().await;
    drop((store, app));
    ours.drop().await;
}
