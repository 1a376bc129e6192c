//! The command line as its users have it: exit codes, what goes to stdout and what to stderr, names, colours.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use cratestack_runtime::schema::TableName;
use cratestack_runtime::{Claim, IdempotencyStore, PostgresStore};
use cratestack_schema::{Dialect, IDEMPOTENCY, Layout};
use serde_json::Value;

use crate::databases::{postgres, run, run_sqlite, sqlite};

/// What a command did.
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs it, with nothing of this process's environment that it listens to.
pub fn cratestack_schema(arguments: &[&str]) -> Done {
    cratestack_schema_reading(arguments, "")
}

/// The same, with this on its standard input.
pub fn cratestack_schema_reading(arguments: &[&str], text: &str) -> Done {
    let mut command = Command::new(executable());
    command.args(arguments).env_remove("DATABASE_URL").env_remove("SUDO_USER").env("USER", "tests");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    // It may end before it has read what it does not ask for.
    drop(running.stdin.take().unwrap().write_all(text.as_bytes()));
    let Output { status, stdout, stderr } = running.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) }
}

/// Where it is, once it is built.
pub fn executable() -> &'static Path {
    static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
    EXECUTABLE.get_or_init(build)
}

fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    // `--workspace` for the same features as `cargo test --workspace` has, which then has built everything already.
    cargo.args(["build", "--workspace", "--bin", "cratestack-schema", "--message-format", "json"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .unwrap()
}

#[test]
fn ddl_is_data_and_nothing_else() {
    let done = cratestack_schema(&["ddl"]);
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, cratestack_schema::POSTGRES_DDL, ""));
    let done = cratestack_schema(&["ddl", "--table", "a\"b", "--schema", "drop table", "--version", "1"]);
    assert!(done.stdout.starts_with("CREATE TABLE IF NOT EXISTS \"drop table\".\"a\"\"b\" ("), "{}", done.stdout);
    let done = cratestack_schema(&["ddl", "--partitions", "3"]);
    assert_eq!(done.stdout.matches("PARTITION OF").count(), 3);
}

#[test]
fn a_mistake_names_its_flag_and_exits_with_two() {
    let long = "x".repeat(64);
    for (arguments, signs) in [
        (vec!["ddl", "--table", ""], vec!["--table", "empty"]),
        (vec!["ddl", "--table", &long], vec!["--table", "64 bytes"]),
        (vec!["ddl", "--schema", &long], vec!["--schema", "64 bytes"]),
        (vec!["ddl", "--dialect", "sqlite", "--table", "sqlite_x"], vec!["--table", "sqlite_"]),
        (vec!["ddl", "--dialect", "sqlite", "--partitions", "2"], vec!["--partitions", "sqlite"]),
        (vec!["ddl", "--dialect", "mysql"], vec!["--dialect", "postgres"]),
        (vec!["ddl", "--version", "9"], vec!["--version", "1, 2"]),
        (vec!["ddl", "--partitions", "0"], vec!["--partitions"]),
        (vec!["migration", "--format", "rails"], vec!["--format", "dbmate"]),
        (vec!["migration", "--from", "2", "--to", "2"], vec!["--from", "nothing to do"]),
        (vec!["migration", "--format", "dbmate", "--table", "a\nb"], vec!["--table", "lines"]),
        (vec!["migration", "--out", "/proc/none"], vec!["--out", "/proc/none"]),
        (vec!["check"], vec!["--database-url"]),
        (vec!["check", "--database-url", "mysql://x"], vec!["--database-url", "postgres"]),
        (vec!["check", "--database-url", "postgres://127.0.0.1:1/x"], vec!["--database-url"]),
        (vec!["check", "--database-url", "sqlite:/none/none.db"], vec!["--database-url"]),
        (vec!["sweep", "--database-url", "sqlite::memory:", "--batch", "0"], vec!["--batch"]),
        (vec!["stats", "--database-url", "sqlite::memory:"], vec!["there is no table", "cratestack-schema ddl"]),
        (vec![], vec!["Usage"]),
    ] {
        let done = cratestack_schema(&arguments);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{arguments:?}\n{}", done.stderr);
        for sign in signs {
            assert!(done.stderr.contains(sign), "{arguments:?} does not say {sign}:\n{}", done.stderr);
        }
        assert!(!done.stderr.contains('\x1b'), "no colour where no terminal is");
    }
}

#[test]
fn the_help_is_enough_to_begin_with() {
    let done = cratestack_schema(&["--help"]);
    assert_eq!(done.code, 0);
    for word in [
        "ddl",
        "migration",
        "check",
        "stats",
        "sweep",
        "show",
        "list",
        "release",
        "forget",
        "Exit codes",
        "NO_COLOR",
        "cargo task",
        "DATABASE_URL",
    ] {
        assert!(done.stdout.contains(word), "{word}");
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let text = cratestack_schema(&["migration", "--format", "sqlx", "--from", "1"]);
    assert_eq!(text.code, 0);
    assert_eq!(text.stdout.matches("-- file: ").count(), 4);
}

#[tokio::test]
async fn check_tells_what_is_wrong_and_how_to_mend_it() {
    let (database, pool) = postgres(2).await;
    run(&pool, "CREATE SCHEMA \"my app\"").await;
    let place = ["--database-url", database.url(), "--schema", "my app", "--table", "it's"];
    let check = || cratestack_schema(&[&["check"][..], &place[..]].concat());
    let done = check();
    assert_eq!((done.code, done.stderr.as_str()), (1, ""));
    assert!(done.stdout.contains(r"cratestack-schema ddl --dialect postgres --schema 'my app' --table 'it'\''s'"));

    let layout = Layout::new(TableName::new(Some("my app"), "it's").unwrap());
    run(&pool, &layout.ddl(Dialect::Postgres, 1).unwrap()).await;
    let done = check();
    assert_eq!(done.code, 1);
    assert!(done.stdout.contains("version 1") && done.stdout.contains("migration --dialect postgres --from 1"));

    for version in 2..=IDEMPOTENCY.latest() {
        for statement in layout.migration(Dialect::Postgres, version).unwrap() {
            run(&pool, &statement).await;
        }
        let done = check();
        if version < IDEMPOTENCY.latest() {
            let sign = format!("migration --dialect postgres --from {version}");
            assert!(done.code == 1 && done.stdout.contains(&sign), "{}", done.stdout);
        } else {
            assert_eq!(done.code, 0, "{}", done.stdout);
        }
    }

    // What the report proposes, mends.
    for drift in ["ALTER TABLE {t} ALTER created_at DROP DEFAULT", "ALTER TABLE {t} ALTER expires_at DROP NOT NULL"] {
        run(&pool, &drift.replace("{t}", &layout.name().sql())).await;
    }
    run(&pool, "DROP INDEX \"my app\".\"it's_expires_idx\"").await;
    let done = check();
    assert_eq!(done.code, 1);
    let mends: Vec<_> = done.stdout.lines().filter_map(|line| line.trim().strip_prefix("mend: ")).collect();
    assert_eq!(mends.len(), 3, "{}", done.stdout);
    for mend in mends {
        run(&pool, mend).await;
    }
    assert_eq!(check().code, 0);
}

#[tokio::test]
async fn stats_and_sweep_count_the_same_rows() {
    let (database, pool) = postgres(2).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let hour = Duration::from_secs(3_600);
    let claim = Claim { principal: "p", key: "running", request_hash: [0; 32], lease: hour, retention: hour };
    store.reserve(claim).await.unwrap();
    store.reserve(Claim { key: "dead", lease: Duration::ZERO, ..claim }).await.unwrap();
    for key in 0..250 {
        let key = format!("old{key}");
        store.reserve(Claim { key: &key, retention: Duration::ZERO, ..claim }).await.unwrap();
    }
    let url = ["--database-url", database.url()];
    let stats = cratestack_schema(&[&["stats", "--json"][..], &url[..]].concat());
    assert_eq!((stats.code, stats.stderr.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&stats.stdout).unwrap();
    for (name, count) in [("rows", 252), ("in_flight", 1), ("past_lease", 1), ("expired", 250), ("finished", 0)] {
        assert_eq!(json[name], count, "{name} in {json}");
    }
    assert!(json["table_bytes"].as_u64() > Some(0) && json["index_bytes"].as_u64() > Some(0));

    let sweep = cratestack_schema(&[&["sweep", "--batch", "100"][..], &url[..]].concat());
    assert_eq!((sweep.code, sweep.stdout.as_str()), (0, "250\n"));
    assert!(sweep.stderr.starts_with("deleted 250 expired rows in"), "{}", sweep.stderr);
    assert!(!sweep.stderr.contains('\r'), "no bar where no terminal is");
    let stats = cratestack_schema(&[&["stats"][..], &url[..]].concat());
    assert!(stats.stdout.contains("expired, unswept                 0"), "{}", stats.stdout);
}

#[tokio::test]
async fn sqlite_has_the_same_commands() {
    let (folder, pool, store) = sqlite(TableName::default()).await;
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    assert_eq!(cratestack_schema(&["check", "--database-url", &url]).code, 1);
    run_sqlite(&pool, &cratestack_schema(&["ddl", "--dialect", "sqlite", "--version", "1"]).stdout).await;
    let done = cratestack_schema(&["check", "--database-url", &url]);
    assert!(done.code == 1 && done.stdout.contains("--dialect sqlite --from 1"), "{}", done.stdout);
    assert_eq!(cratestack_schema(&["sweep", "--database-url", &url]).stdout, "0\n", "any version can be swept");
    for statement in IDEMPOTENCY.migration(Dialect::Sqlite, 2).unwrap() {
        run_sqlite(&pool, &statement).await;
    }
    let done = cratestack_schema(&["check", "--database-url", &url]);
    assert!(done.code == 1 && done.stdout.contains("--dialect sqlite --from 2"), "{}", done.stdout);
    store.migrate().await.unwrap();
    assert_eq!(cratestack_schema(&["check", "--database-url", &url]).code, 0);
    let claim =
        Claim { principal: "p", key: "k", request_hash: [0; 32], lease: Duration::ZERO, retention: Duration::ZERO };
    store.reserve(claim).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let done = cratestack_schema(&["stats", "--json", "--database-url", &url]);
    assert!(done.stdout.contains("\"expired\":1"), "{}{}", done.stdout, done.stderr);
    assert_eq!(cratestack_schema(&["sweep", "--database-url", &url]).stdout, "1\n");
    assert_eq!(IDEMPOTENCY.latest(), 3, "a new version needs a look at every step of this test");
}
