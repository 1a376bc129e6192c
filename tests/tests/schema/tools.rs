//! The files of each tool, applied in that tool's order; sqlx's own migrator applies its own.
//!
//! refinery and Diesel run theirs in the package `migrators`, which stands apart from the workspace.

use std::fs;
use std::path::Path;

use cratestack_runtime::PostgresStore;
use cratestack_schema::{Dialect, Format, IDEMPOTENCY};
use cratestack_tests::postgres::TestDatabase;
use sqlx::PgPool;
use sqlx::migrate::Migrator;

use crate::command::cratestack_schema;
use crate::databases::{postgres, run, run_sqlite, sqlite};

const ROW: &str = "INSERT INTO cratestack_idempotency
    (principal_fingerprint, key, request_hash, reservation_id, response_status, response_body, expires_at)
    VALUES ('p', 'k', '\\x00', gen_random_uuid(), 201, 'paid', NOW() + INTERVAL '1 day')";

fn write(format: Format, from: u32, folder: &Path) {
    let (from, folder) = (from.to_string(), folder.to_str().unwrap());
    let done = cratestack_schema(&["migration", "--format", format.name(), "--from", &from, "--out", folder]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.stderr, "");
    for line in done.stdout.lines() {
        assert!(Path::new(line).is_file(), "{line}");
    }
    // A second one would be numbered anew, and its way back would drop the table that the first one made.
    let before = names(Path::new(folder));
    for from in ["0", "1"] {
        let done = cratestack_schema(&["migration", "--format", format.name(), "--from", from, "--out", folder]);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{format}");
        assert!(done.stderr.contains("--out") && done.stderr.contains("nothing was written"), "{}", done.stderr);
    }
    assert_eq!(names(Path::new(folder)), before, "{format}");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_a_folder_has_decides_what_is_written_next() {
    for format in Format::ALL {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        let write = |more: &[&str]| {
            cratestack_schema(&[&["migration", "--format", format.name(), "--out", out][..], more].concat())
        };
        assert_eq!(write(&["--to", "1"]).code, 0, "{format}");
        let before = names(folder.path());
        // From nothing, it would create what the first one has created, and drop it on its way back.
        let refused = write(&[]);
        assert!(refused.code == 2 && refused.stderr.contains("say --from 1"), "{format}: {}", refused.stderr);
        assert_eq!(names(folder.path()), before);
        let upgrade = write(&["--from", "1"]);
        assert_eq!(upgrade.code, 0, "{format}: {}", upgrade.stderr);
        let before = names(folder.path());
        assert_eq!(write(&["--from", "1"]).code, 2, "{format}");
        assert_eq!(names(folder.path()), before);
        // Another table of the same folder.
        let other = ["--schema", "other", "--table", "cratestack_idempotency"];
        if format != Format::Plain {
            assert_eq!(write(&other).code, 0, "{format}");
            assert_eq!(write(&other).code, 2, "{format}");
        }
    }
}

fn is_at_latest(database: &TestDatabase) {
    let done = cratestack_schema(&["check", "--database-url", database.url()]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
}

async fn old(pool: &PgPool, from: u32) {
    if from > 0 {
        run(pool, &IDEMPOTENCY.ddl(Dialect::Postgres, from).unwrap()).await;
        run(pool, ROW).await;
    }
}

/// Where the way back arrives, and with its rows.
async fn is_back(pool: &PgPool, from: u32) {
    let report = PostgresStore::new(pool.clone()).check().await.unwrap();
    assert_eq!(report.version(), (from > 0).then_some(from), "{report}");
    if from > 0 {
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM cratestack_idempotency").fetch_one(pool).await.unwrap();
        assert_eq!(rows, 1);
    }
}

#[tokio::test]
async fn sqlx_applies_reverts_and_applies_again() {
    for from in 0..IDEMPOTENCY.latest() {
        let (database, pool) = postgres(3).await;
        old(&pool, from).await;
        if from == 1 {
            // The migration that builds it while others write has something to do.
            run(&pool, "DROP INDEX cratestack_idempotency_expires_idx").await;
        }
        let folder = tempfile::tempdir().unwrap();
        write(Format::Sqlx, from, folder.path());
        let migrator = Migrator::new(folder.path()).await.unwrap();
        migrator.run(&pool).await.unwrap();
        is_at_latest(&database);
        migrator.undo(&pool, 0).await.unwrap();
        is_back(&pool, from).await;
        migrator.run(&pool).await.unwrap();
        is_at_latest(&database);
    }
}

#[tokio::test]
async fn sqlx_applies_what_is_written_for_sqlite() {
    for from in 0..IDEMPOTENCY.latest() {
        let (_database, pool, store) = sqlite(cratestack_runtime::schema::TableName::default()).await;
        if from > 0 {
            run_sqlite(&pool, &IDEMPOTENCY.ddl(Dialect::Sqlite, from).unwrap()).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let (text, out) = (from.to_string(), folder.path().to_str().unwrap().to_owned());
        let arguments =
            ["migration", "--dialect", "sqlite", "--format", "sqlx", "--from", &text, "--out", out.as_str()];
        assert_eq!(cratestack_schema(&arguments).code, 0);
        let migrator = Migrator::new(folder.path()).await.unwrap();
        for _ in 0..2 {
            migrator.run(&pool).await.unwrap();
            let report = store.check().await.unwrap();
            assert!(report.is_clean(), "{report}");
            migrator.undo(&pool, 0).await.unwrap();
            assert_eq!(store.check().await.unwrap().version(), (from > 0).then_some(from));
        }
    }
}

/// One script as its tool runs it: the statements of a migration in a transaction, unless it says otherwise.
struct Script {
    text: String,
    transaction: bool,
}

/// What the tool would run, in its order, one way or the other.
fn scripts(format: Format, folder: &Path, up: bool) -> Vec<Script> {
    let mut names = names(folder);
    if !up {
        names.reverse();
    }
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let mut scripts = Vec::new();
    for name in names {
        match format {
            // They say themselves what is a transaction.
            Format::Plain if name.ends_with(if up { ".up.sql" } else { ".down.sql" }) => {
                scripts.push(Script { text: read(&name), transaction: false });
            }
            Format::Refinery => scripts.push(Script { text: read(&name), transaction: true }),
            Format::Flyway if name.starts_with(if up { 'V' } else { 'U' }) => {
                scripts.push(Script { text: read(&name), transaction: true });
            }
            Format::Diesel => {
                let way = if up { "up.sql" } else { "down.sql" };
                let metadata = fs::read_to_string(folder.join(&name).join("metadata.toml")).unwrap_or_default();
                scripts.push(Script {
                    text: read(&format!("{name}/{way}")),
                    transaction: !metadata.contains("run_in_transaction = false"),
                });
            }
            Format::Dbmate => {
                let text = read(&name);
                let (before, after) = text.split_once("-- migrate:down").unwrap();
                let (mode, text) = if up {
                    before.strip_prefix("-- migrate:up").unwrap().split_once('\n').unwrap()
                } else {
                    after.split_once('\n').unwrap()
                };
                scripts.push(Script { text: text.to_owned(), transaction: mode.trim() != "transaction:false" });
            }
            _ => {}
        }
    }
    scripts
}

async fn apply(pool: &PgPool, scripts: &[Script]) {
    for Script { text, transaction } in scripts {
        if *transaction {
            run(pool, &format!("BEGIN;\n{text};\nCOMMIT")).await;
        } else {
            run(pool, text).await;
        }
    }
}

#[tokio::test]
async fn every_other_format_leads_up_and_back_in_its_tool_s_order() {
    for format in [Format::Plain, Format::Refinery, Format::Flyway, Format::Diesel, Format::Dbmate] {
        for from in 0..IDEMPOTENCY.latest() {
            let (database, pool) = postgres(2).await;
            old(&pool, from).await;
            if from == 1 && format.runs_outside_transactions() {
                run(&pool, "DROP INDEX cratestack_idempotency_expires_idx").await;
            }
            let folder = tempfile::tempdir().unwrap();
            write(format, from, folder.path());
            apply(&pool, &scripts(format, folder.path(), true)).await;
            is_at_latest(&database);
            if format != Format::Refinery {
                apply(&pool, &scripts(format, folder.path(), false)).await;
                is_back(&pool, from).await;
                apply(&pool, &scripts(format, folder.path(), true)).await;
                is_at_latest(&database);
            }
        }
    }
}

#[test]
fn refinery_s_numbers_go_on_where_they_were() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("V41__users.sql"), "").unwrap();
    write(Format::Refinery, 0, folder.path());
    assert!(folder.path().join("V42__cratestack_idempotency_v3.sql").is_file());
}

#[tokio::test]
async fn an_upgrade_that_cannot_have_its_lock_gives_up_soon_and_changes_nothing() {
    let (_database, pool) = postgres(3).await;
    old(&pool, 1).await;
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM cratestack_idempotency").execute(&mut *holder).await.unwrap();
    let text = cratestack_schema(&["migration", "--from", "1"]).stdout;
    let upgrade = text.split("-- file:").find(|part| part.contains("v3.up.sql")).unwrap();
    let started = std::time::Instant::now();
    let script = upgrade.split_once('\n').unwrap().1;
    let mut connection = pool.acquire().await.unwrap();
    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut *connection).await;
    assert!(refused.unwrap_err().to_string().contains("lock timeout"));
    assert!(started.elapsed().as_secs() < 5);
    holder.rollback().await.unwrap();
    is_back(&pool, 1).await;
}
