//! refinery and Diesel run what `cratestack-schema migration` writes for them.

use std::fs;

use cratestack_migrators::TestDatabase;
use cratestack_runtime::PostgresStore;
use cratestack_schema::{Dialect, Format, IDEMPOTENCY, Layout, Numbering};
use diesel::Connection as _;
use diesel_migrations::{FileBasedMigrations, MigrationHarness as _};
use sqlx::PgPool;
use tempfile::TempDir;

/// A database at `from`, with a row where it has a table, and a folder with the files that lead to the latest version.
async fn prepare(format: Format, from: u32) -> (TestDatabase, PgPool, TempDir) {
    let database = TestDatabase::create().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    if from > 0 {
        let ddl = IDEMPOTENCY.ddl(Dialect::Postgres, from).unwrap();
        // Without its index, so that building it has something to do.
        let table = ddl.split_once("CREATE INDEX").unwrap().0.to_owned();
        sqlx::raw_sql(sqlx::AssertSqlSafe(table)).execute(&pool).await.unwrap();
        let row = "INSERT INTO cratestack_idempotency
            (principal_fingerprint, key, request_hash, reservation_id, expires_at)
            VALUES ('p', 'k', '', gen_random_uuid(), NOW() + INTERVAL '1 day')";
        sqlx::raw_sql(row).execute(&pool).await.unwrap();
        if !format.runs_outside_transactions() {
            let index = Layout::default().create_index(Dialect::Postgres);
            sqlx::raw_sql(sqlx::AssertSqlSafe(index)).execute(&pool).await.unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let numbering = Numbering { unix_seconds: 1_767_225_600, next: 1 };
    let files = Layout::default().files(Dialect::Postgres, format, from, IDEMPOTENCY.latest(), numbering).unwrap();
    for file in files {
        let path = folder.path().join(file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.contents).unwrap();
    }
    (database, pool, folder)
}

async fn is_clean(pool: &PgPool) {
    let report = PostgresStore::new(pool.clone()).check().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refinery_runs_its_files() {
    for from in [0, 1] {
        let (database, pool, folder) = prepare(Format::Refinery, from).await;
        let migrations = refinery::load_sql_migrations(folder.path()).unwrap();
        assert_eq!(migrations.len(), 1);
        let url = database.url().to_owned();
        tokio::task::spawn_blocking(move || {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
            for ran in [1, 0] {
                let report = refinery::Runner::new(&migrations).run(&mut client).unwrap();
                assert_eq!(report.applied_migrations().len(), ran);
            }
        })
        .await
        .unwrap();
        is_clean(&pool).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn diesel_runs_its_files_and_reverts_them() {
    for from in [0, 1] {
        let (database, pool, folder) = prepare(Format::Diesel, from).await;
        let url = database.url().to_owned();
        let path = folder.path().to_owned();
        let step = |up: bool| {
            let (url, path) = (url.clone(), path.clone());
            tokio::task::spawn_blocking(move || {
                let mut connection = diesel::PgConnection::establish(&url).unwrap();
                let migrations = FileBasedMigrations::from_path(path).unwrap();
                if up {
                    connection.run_pending_migrations(migrations).unwrap();
                } else {
                    connection.revert_all_migrations(migrations).unwrap();
                }
            })
        };
        step(true).await.unwrap();
        is_clean(&pool).await;
        step(false).await.unwrap();
        let report = PostgresStore::new(pool.clone()).check().await.unwrap();
        assert_eq!(report.version(), (from > 0).then_some(from), "{report}");
        step(true).await.unwrap();
        is_clean(&pool).await;
        if from > 0 {
            let rows: i64 =
                sqlx::query_scalar("SELECT count(*) FROM cratestack_idempotency").fetch_one(&pool).await.unwrap();
            assert_eq!(rows, 1);
        }
    }
}
