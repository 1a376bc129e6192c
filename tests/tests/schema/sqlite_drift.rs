//! Drift made by hand on SQLite.

use cratestack_schema::{Dialect, Drift, IDEMPOTENCY};
use sqlx::{Connection, SqliteConnection};

use crate::databases::{default_table, inspect_sqlite, run_sqlite};

/// Each case replaces text of the DDL, and runs a statement after it.
type Case = (&'static str, &'static [Drift], &'static [(&'static str, &'static str)], &'static str);

const DRIFT: &[Case] = &[
    ("no table", &[Drift::MissingTable], &[], "DROP TABLE cratestack_idempotency"),
    (
        "a view",
        &[Drift::NotATable],
        &[],
        "ALTER TABLE cratestack_idempotency RENAME TO u;
        CREATE VIEW cratestack_idempotency AS SELECT * FROM u",
    ),
    ("not strict", &[Drift::ColumnType], &[(") STRICT", ")")], ""),
    ("without rowid", &[Drift::PrimaryKey], &[(") STRICT", ") STRICT, WITHOUT ROWID")], ""),
    ("no body", &[Drift::MissingColumn], &[("    response_body BLOB,\n", "")], ""),
    ("no hash", &[Drift::MissingColumn], &[("    request_hash BLOB NOT NULL,\n", "")], ""),
    ("no attempt", &[Drift::MissingColumn], &[("    attempt INTEGER,\n", "")], ""),
    (
        "version 1",
        &[Drift::OlderVersion],
        &[("    attempt INTEGER,\n", ""), ("    lease_expires_at INTEGER,\n", "")],
        "",
    ),
    ("a newer version's column", &[Drift::UnknownColumn], &[("attempt INTEGER", "attempt INTEGER, trace TEXT")], ""),
    ("a token as text", &[Drift::ColumnType], &[("reservation_id BLOB", "reservation_id TEXT")], ""),
    ("a time as text", &[Drift::ColumnType], &[("expires_at INTEGER NOT NULL", "expires_at TEXT NOT NULL")], ""),
    ("a status as real", &[Drift::ColumnType], &[("response_status INTEGER", "response_status REAL")], ""),
    ("a hash may be NULL", &[Drift::Nullability], &[("request_hash BLOB NOT NULL", "request_hash BLOB")], ""),
    (
        "a status must be there",
        &[Drift::Nullability],
        &[("response_status INTEGER", "response_status INTEGER NOT NULL")],
        "",
    ),
    ("born finished", &[Drift::Default], &[("response_status INTEGER", "response_status INTEGER DEFAULT 200")], ""),
    ("seconds for milliseconds", &[Drift::Default], &[("* 1000", "* 1")], ""),
    (
        "no creation by default",
        &[Drift::Default],
        &[(" DEFAULT (CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER))", "")],
        "",
    ),
    ("a generated column", &[Drift::Default], &[("attempt INTEGER", "attempt INTEGER GENERATED ALWAYS AS (7)")], ""),
    (
        "no primary key",
        &[Drift::PrimaryKey],
        &[("attempt INTEGER,\n    PRIMARY KEY (principal_fingerprint, key)", "attempt INTEGER")],
        "",
    ),
    ("the key alone", &[Drift::PrimaryKey], &[("PRIMARY KEY (principal_fingerprint, key)", "PRIMARY KEY (key)")], ""),
    ("blind to case", &[Drift::Collation], &[("key TEXT NOT NULL", "key TEXT NOT NULL COLLATE NOCASE")], ""),
    ("no index", &[Drift::Index], &[], "DROP INDEX cratestack_idempotency_expires_idx"),
    (
        "a partial index",
        &[Drift::Index],
        &[("ON cratestack_idempotency (expires_at)", "ON cratestack_idempotency (expires_at) WHERE attempt = 1")],
        "",
    ),
    ("an index on another column", &[Drift::Index], &[("idempotency (expires_at)", "idempotency (created_at)")], ""),
    ("a unique key", &[Drift::Index], &[], "CREATE UNIQUE INDEX u ON cratestack_idempotency (key)"),
    ("an index on the body", &[Drift::Index], &[], "CREATE INDEX b ON cratestack_idempotency (response_body)"),
    ("a check", &[Drift::Constraint], &[("attempt INTEGER", "attempt INTEGER CHECK (attempt < 3)")], ""),
    ("a foreign key", &[Drift::Constraint], &[("attempt INTEGER", "attempt INTEGER REFERENCES other (id)")], ""),
    (
        "a trigger",
        &[Drift::Trigger],
        &[],
        "CREATE TRIGGER refuses BEFORE DELETE ON cratestack_idempotency
        BEGIN SELECT RAISE(IGNORE); END",
    ),
    (
        "a temporary trigger",
        &[Drift::Trigger],
        &[],
        "CREATE TEMP TRIGGER refuses BEFORE DELETE ON cratestack_idempotency
        BEGIN SELECT RAISE(IGNORE); END",
    ),
    (
        "hidden by a temporary table",
        &[Drift::Persistence],
        &[("CREATE TABLE IF NOT EXISTS", "CREATE TEMP TABLE"), ("CREATE INDEX IF NOT EXISTS ", "CREATE INDEX temp.")],
        "",
    ),
    ("read-only", &[Drift::ReadOnly], &[], "PRAGMA query_only = on"),
];

const HARMLESS: &[Case] = &[
    ("nothing", &[], &[], ""),
    (
        "version 1, upgraded",
        &[],
        &[("    attempt INTEGER,\n", "")],
        "ALTER TABLE cratestack_idempotency ADD COLUMN attempt INTEGER",
    ),
    ("another layout", &[], &[("\n    ", " ")], ""),
    ("lower case", &[], &[("INTEGER", "integer")], ""),
    ("an index more", &[], &[], "CREATE INDEX more ON cratestack_idempotency (created_at)"),
    ("an index of another name", &[], &[("_expires_idx", "_by_expiry")], ""),
    ("an index that goes on", &[], &[("idempotency (expires_at)", "idempotency (expires_at, key)")], ""),
    ("the word in a name", &[], &[("PRIMARY KEY", "CONSTRAINT \"check\" PRIMARY KEY")], ""),
];

#[tokio::test]
async fn drift_is_found_on_sqlite_and_nothing_else() {
    let table = default_table();
    for (what, expected, replaced, after) in DRIFT.iter().chain(HARMLESS) {
        let mut ddl = table.ddl(Dialect::Sqlite, IDEMPOTENCY.latest()).unwrap();
        for (from, to) in *replaced {
            assert!(ddl.contains(from), "{what}: {from}");
            ddl = ddl.replace(from, to);
        }
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        run_sqlite(&mut connection, &ddl).await;
        run_sqlite(&mut connection, after).await;
        let report = inspect_sqlite(&mut connection, &table).await.report();
        let found: Vec<_> = report.findings().iter().map(|finding| finding.drift).collect();
        for drift in *expected {
            assert!(found.contains(drift), "{what}: no {drift:?} in\n{report}");
        }
        for drift in &found {
            assert!(expected.contains(drift), "{what}: {drift:?} is not there\n{report}");
        }
    }
}
