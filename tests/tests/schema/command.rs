//! The command `cratestack-schema` as a process: what it writes where, and how it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use cratestack_schema::{Dialect, Format, IDEMPOTENCY};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

use crate::databases::{default_table, inspect, inspect_sqlite, named, postgres, run, run_sqlite};

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // `--workspace` for the same features as `cargo test --workspace` has, which then has built most of it already.
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--workspace", "--bin", "cratestack-schema", "--message-format", "json"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let output = cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == "cratestack-schema")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .expect("cargo names the executable that it built")
    })
}

fn task(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).env_remove("DATABASE_URL").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = task(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    assert!(!text(&output.stdout).contains('\u{1b}'), "no colours where nobody looks");
    text(&output.stdout).to_owned()
}

fn refusal(arguments: &[&str]) -> String {
    let output = task(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stdout));
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr).to_owned()
}

#[test]
fn ddl_is_what_the_library_renders() {
    assert_eq!(stdout(&["ddl"]), cratestack_schema::POSTGRES_DDL);
    assert_eq!(stdout(&["ddl", "--version", "1"]), IDEMPOTENCY.ddl(Dialect::Postgres, 1).unwrap());
    let own = stdout(&["ddl", "--dialect", "postgres", "--schema", "billing", "--table", "a\"b"]);
    let ddl = named(Some("billing"), "a\"b").ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap();
    assert_eq!(own, format!("CREATE SCHEMA IF NOT EXISTS billing;\n\n{ddl}"));
    assert!(stdout(&["ddl", "--table", "-x", "--partitions", "2"]).contains("\"-x_p1\" PARTITION OF \"-x\""));
}

#[test]
fn a_mistake_names_the_flag_to_mend() {
    for (arguments, flag) in [
        (&["ddl", "--version", "9"][..], "--version"),
        (&["ddl", "--dialect", "oracle"], "--dialect"),
        (&["ddl", "--table", ""], "--table"),
        (&["ddl", "--table", &"x".repeat(64)], "--table"),
        (&["ddl", "--schema", "pg_temp"], "--schema"),
        (&["ddl", "--partitions", "0"], "--partitions"),
        (&["ddl", "--partitions", "4", "--dialect", "sqlite"], "--partitions"),
        (&["migration", "--from", "3"], "--from"),
        (&["migration", "--from", "2", "--to", "1"], "--from"),
        (&["migration", "--from", "2", "--dialect", "sqlite"], "--from"),
        (&["migration", "--format", "rails"], "--format"),
        (&["migration", "--number", "../x"], "--number"),
        (&["migration", "--dialect", "sqlite", "--table", "a\nb"], "--table"),
        (&["migration", "--out", "/dev/null/x"], "--out"),
        (&["check"], "--database-url"),
        (&["check", "--database-url", "mysql://root:secret@localhost/x"], "--database-url"),
        (&["check", "--database-url", "postgres://root:secret@127.0.0.1:1/x"], "--database-url"),
        (&["check", "--database-url", "sqlite:///nowhere/x.db"], "--database-url"),
        (&["sweep", "--database-url", "sqlite::memory:", "--batch", "0"], "--batch"),
        (&["check", "--database-url", "sqlite::memory:", "--role", "app"], "--role"),
        (&["stats", "--database-url", "sqlite::memory:"], "--table"),
    ] {
        let said = refusal(arguments);
        assert!(said.starts_with("error: ") && said.contains(flag), "{arguments:?}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_ends_with_0_or_with_1_and_a_list() {
    let (database, mut connection) = postgres().await;
    let check = ["check", "--database-url", database.url()];
    let output = task(&check);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("- there is no table cratestack_idempotency\n    mend: cratestack-schema ddl\n")
    );
    assert!(output.stderr.is_empty());

    run(&mut connection, &default_table().ddl(Dialect::Postgres, 1).unwrap()).await;
    let output = task(&check);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("mend: cratestack-schema migration --from 1\n"), "{}", text(&output.stdout));

    run(&mut connection, &stdout(&["migration", "--from", "1", "--format", "refinery"])).await;
    assert_eq!(stdout(&check), "cratestack_idempotency (postgres), version 3: as expected\n");
    // Also by the environment, as other tools do it.
    let output = Command::new(program()).arg("check").env("DATABASE_URL", database.url()).output().unwrap();
    assert!(output.status.success());

    let role = format!("cratestack_app_{}", database.name());
    run(&mut connection, &format!("CREATE ROLE {role}")).await;
    let as_role = ["check", "--database-url", database.url(), "--role", &role];
    let output = task(&as_role);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("lacks the right to SELECT, INSERT, UPDATE, DELETE"));
    run(&mut connection, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON cratestack_idempotency TO {role}")).await;
    assert!(task(&as_role).status.success());
    run(&mut connection, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_and_sweep_count_and_delete() {
    let (database, mut connection) = postgres().await;
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
    let mut sqlite = SqliteConnection::connect(&file).await.unwrap();
    let table = named(None, "odd \"name\"");
    let latest = IDEMPOTENCY.latest();
    run(&mut connection, &table.ddl(Dialect::Postgres, latest).unwrap()).await;
    run_sqlite(&mut sqlite, &table.ddl(Dialect::Sqlite, latest).unwrap()).await;
    // 3 in flight, 2 past their lease, 4 finished, 2,500 expired of which one is in flight.
    let insert = |now: &str, second: &str, number: &str, bytes: &str, uuid: &str| {
        format!(
            "INSERT INTO \"odd \"\"name\"\"\" (principal_fingerprint, key, request_hash, reservation_id, response_status,
                response_headers, response_body, created_at, expires_at, lease_expires_at)
             SELECT 'p', 'k' || n, {bytes}, {uuid}, CASE WHEN n > 5 AND n <> 10 THEN 201 END, NULL, NULL,
                {now} - 3600 * {second}, {now} + CASE WHEN n < 10 THEN 3600 ELSE -5 END * {second},
                {now} + CASE WHEN n <= 3 THEN 30 ELSE -30 END * {second}
             FROM {number}"
        )
    };
    let numbers =
        "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 2509) SELECT n FROM s) AS s";
    run(&mut connection, &insert("NOW()", "INTERVAL '1 second'", numbers, "'\\x00'::bytea", "gen_random_uuid()")).await;
    run_sqlite(&mut sqlite, &insert(Dialect::Sqlite.now(), "1000", numbers, "x'00'", "x'00'")).await;
    drop(sqlite);
    for url in [database.url(), &file] {
        let json: Value =
            serde_json::from_str(&stdout(&["stats", "--json", "--database-url", url, "--table", "odd \"name\""]))
                .unwrap();
        assert_eq!(json["table"], "odd \"name\"");
        let count = |name: &str| json[name].as_u64().unwrap_or_else(|| panic!("{name} in {json}"));
        assert_eq!(
            [count("rows"), count("in_flight"), count("past_lease"), count("expired")],
            [2_509, 3, 2, 2_500],
            "{url}"
        );
        assert!((3_600..3_700).contains(&count("oldest_seconds")), "{json}");
        assert!(count("table_bytes") > 100_000 && count("index_bytes") > 50_000, "{json}");
        let people = stdout(&["stats", "--database-url", url, "--table", "odd \"name\""]);
        assert!(people.contains("past their lease             2\n"), "{people}");

        let sweep = ["sweep", "--batch", "400", "--database-url", url, "--table", "odd \"name\""];
        let output = task(&sweep);
        let said = text(&output.stdout);
        assert_eq!(said, "deleted 2500 expired rows from \"odd \"\"name\"\"\"\n");
        assert!(output.stderr.is_empty(), "no progress where nobody looks: {}", text(&output.stderr));
        assert!(stdout(&sweep).starts_with("deleted 0 expired rows"));
    }
}

/// All files of all tools, in the order and the way in which the tool runs them.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_written_once_applied_and_taken_back() {
    let (_database, mut connection) = postgres().await;
    for format in Format::ALL {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("migrations");
        let table = format!("{format}\"s ${{table}}");
        let own = ["--table", &table, "--format", format.name(), "--out", out.to_str().unwrap()];
        let write = |more: &[&str]| stdout(&[&["migration"][..], &own, more].concat());
        let mut written = Vec::new();
        for (from, to, number) in
            [("0", "1", "20250101000001"), ("1", "2", "20250101000002"), ("2", "3", "20250101000003")]
        {
            let by_time = format.is_numbered_by_time();
            let numbered = ["--number", number];
            let lines = write(&[&["--from", from, "--to", to][..], if by_time { &numbered } else { &[] }].concat());
            written.extend(lines.lines().map(PathBuf::from));
        }
        assert!(written.iter().all(|path| path.is_file()), "{format}: {written:?}");
        let again = [&["migration", "--from", "0", "--to", "1"][..], &own, &["--number", "20250101000001"]].concat();
        if format.is_numbered_by_time() {
            assert!(refusal(&again).contains("is there already"), "{format}");
        } else if format != Format::Plain {
            let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
            assert!(names.iter().any(|name| name.starts_with("V3__")), "{names:?}");
        }
        let read = |end: &str| {
            let mut all: Vec<_> = written.iter().filter(|path| path.to_str().unwrap().ends_with(end)).collect();
            all.sort();
            all.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<Vec<_>>()
        };
        let (up, mut down): (Vec<String>, Vec<String>) = match format {
            Format::Sqlx => (read(".up.sql"), read(".down.sql")),
            Format::Diesel => (read("/up.sql"), read("/down.sql")),
            Format::Dbmate => read(".sql")
                .iter()
                .map(|text| {
                    let text = text.strip_prefix("-- migrate:up\n").unwrap();
                    let (up, down) = text.split_once("\n-- migrate:down\n").unwrap();
                    (up.to_owned(), down.to_owned())
                })
                .unzip(),
            Format::Plain => {
                let (down, up) =
                    read(".sql").into_iter().partition(|text| text.contains(", back to ") || text.contains("Forgets"));
                (up, down)
            }
            _ => (read(".sql"), Vec::new()),
        };
        assert_eq!(up.len(), 3, "{format}");
        assert_eq!(down.len(), if format.has_way_back() { 3 } else { 0 }, "{format}");
        let table = named(None, &table);
        let in_transaction = |text: &str| {
            if format == Format::Plain { text.to_owned() } else { format!("BEGIN;\n{text}\nCOMMIT;") }
        };
        for (n, text) in up.iter().enumerate() {
            run(&mut connection, &in_transaction(text)).await;
            let found = inspect(&mut connection, &table).await;
            assert_eq!(found.version(), Some(u32::try_from(n).unwrap() + 1), "{format}");
        }
        assert!(inspect(&mut connection, &table).await.report().is_ok(), "{format}");
        down.reverse();
        for (n, text) in down.iter().enumerate() {
            run(&mut connection, &in_transaction(text)).await;
            let version = 2_u32.checked_sub(u32::try_from(n).unwrap()).filter(|version| *version > 0);
            assert_eq!(inspect(&mut connection, &table).await.version(), version, "{format}");
        }
    }
}

#[tokio::test]
async fn sqlite_files_lead_there_and_back() {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let write = |from: &str, to: &str, number: &str| {
        stdout(&[
            "migration",
            "--dialect",
            "sqlite",
            "--format",
            "diesel",
            "--from",
            from,
            "--to",
            to,
            "--out",
            out,
            "--number",
            number,
        ])
    };
    let mut paths = Vec::new();
    for lines in [write("0", "1", "20250101000001"), write("1", "3", "20250101000002")] {
        paths.extend(lines.lines().map(PathBuf::from));
    }
    assert!(paths[0].starts_with(folder.path().join("2025-01-01-000001_create_idempotency_v1")));
    let table = default_table();
    let [first, first_back, second, second_back] = &paths[..] else { panic!("{paths:?}") };
    for (path, version) in [(first, Some(1)), (second, Some(3)), (second_back, Some(1)), (first_back, None)] {
        run_sqlite(&mut connection, &std::fs::read_to_string(path).unwrap()).await;
        assert_eq!(inspect_sqlite(&mut connection, &table).await.version(), version, "{}", path.display());
    }
}
