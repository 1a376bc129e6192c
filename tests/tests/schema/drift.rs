//! Drift made by hand on Postgres: each kind is found, as what it is, and what is told to mend it does. What is nobody's
//! harm is not found.

use cratestack_schema::{Dialect, Drift, IDEMPOTENCY, Partitions, Report};
use sqlx::{Connection, PgConnection};

use crate::databases::{default_table, inspect, postgres, run};

struct Case {
    what: &'static str,
    sql: &'static str,
    found: &'static [Drift],
}

const fn case(what: &'static str, found: &'static [Drift], sql: &'static str) -> Case {
    Case { what, sql, found }
}

const DRIFT: &[Case] = &[
    case("no table", &[Drift::MissingTable], "DROP TABLE t"),
    case("a view", &[Drift::NotATable], "ALTER TABLE t RENAME TO u; CREATE VIEW t AS TABLE u"),
    case(
        "a materialized view",
        &[Drift::NotATable],
        "ALTER TABLE t RENAME TO u; CREATE MATERIALIZED VIEW t AS TABLE u",
    ),
    case("a sequence", &[Drift::NotATable], "DROP TABLE t; CREATE SEQUENCE t"),
    case("an index", &[Drift::NotATable], "ALTER TABLE t RENAME TO u; CREATE INDEX t ON u (key)"),
    case("a type", &[Drift::NotATable], "DROP TABLE t; CREATE TYPE t AS (a int)"),
    // Columns that are gone.
    case(
        "no principal_fingerprint",
        &[Drift::MissingColumn, Drift::PrimaryKey],
        "ALTER TABLE t DROP COLUMN principal_fingerprint",
    ),
    case("no key", &[Drift::MissingColumn, Drift::PrimaryKey], "ALTER TABLE t DROP COLUMN key"),
    case("no request_hash", &[Drift::MissingColumn], "ALTER TABLE t DROP COLUMN request_hash"),
    case("no reservation_id", &[Drift::MissingColumn], "ALTER TABLE t DROP COLUMN reservation_id"),
    case("no response_status", &[Drift::MissingColumn], "ALTER TABLE t DROP COLUMN response_status"),
    case("no response_headers", &[Drift::MissingColumn], "ALTER TABLE t DROP COLUMN response_headers"),
    case("no response_body", &[Drift::MissingColumn], "ALTER TABLE t DROP COLUMN response_body"),
    case("no created_at", &[Drift::MissingColumn], "ALTER TABLE t DROP COLUMN created_at"),
    case("no expires_at", &[Drift::MissingColumn, Drift::Index], "ALTER TABLE t DROP COLUMN expires_at"),
    case("no lease_expires_at", &[Drift::MissingColumn], "ALTER TABLE t DROP COLUMN lease_expires_at"),
    case("no attempt", &[Drift::MissingColumn], "ALTER TABLE t DROP COLUMN attempt"),
    case(
        "a column renamed",
        &[Drift::MissingColumn, Drift::UnknownColumn],
        "ALTER TABLE t RENAME response_body TO body",
    ),
    case("a newer version's column", &[Drift::UnknownColumn], "ALTER TABLE t ADD COLUMN trace_id TEXT"),
    // Versions.
    case(
        "version 1",
        &[Drift::OlderVersion],
        "ALTER TABLE t DROP COLUMN lease_expires_at, DROP COLUMN attempt;
         ALTER TABLE t RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor)",
    ),
    case(
        "version 2",
        &[Drift::OlderVersion],
        "ALTER TABLE t RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor)",
    ),
    case("one option lost", &[Drift::Storage], "ALTER TABLE t RESET (autovacuum_vacuum_insert_scale_factor)"),
    case("autovacuum off", &[Drift::Storage], "ALTER TABLE t SET (autovacuum_enabled = off)"),
    // Types.
    case("a short key", &[Drift::ColumnType], "ALTER TABLE t ALTER key TYPE VARCHAR(36)"),
    case("a varchar", &[Drift::ColumnType], "ALTER TABLE t ALTER key TYPE VARCHAR"),
    case("a padded principal", &[Drift::ColumnType], "ALTER TABLE t ALTER principal_fingerprint TYPE CHAR(64)"),
    case("a hash as text", &[Drift::ColumnType], "ALTER TABLE t ALTER request_hash TYPE TEXT USING ''"),
    case("a token as text", &[Drift::ColumnType], "ALTER TABLE t ALTER reservation_id TYPE TEXT"),
    case("a status as smallint", &[Drift::ColumnType], "ALTER TABLE t ALTER response_status TYPE SMALLINT"),
    case("a status as text", &[Drift::ColumnType], "ALTER TABLE t ALTER response_status TYPE TEXT"),
    case("headers as jsonb", &[Drift::ColumnType], "ALTER TABLE t ALTER response_headers TYPE JSONB USING NULL"),
    case("a body as text", &[Drift::ColumnType], "ALTER TABLE t ALTER response_body TYPE TEXT USING NULL"),
    case("a creation without a zone", &[Drift::ColumnType], "ALTER TABLE t ALTER created_at TYPE TIMESTAMP"),
    case("an expiry without a zone", &[Drift::ColumnType], "ALTER TABLE t ALTER expires_at TYPE TIMESTAMP"),
    case("an expiry in seconds", &[Drift::ColumnType], "ALTER TABLE t ALTER expires_at TYPE TIMESTAMPTZ(0)"),
    case("a lease as a date", &[Drift::ColumnType], "ALTER TABLE t ALTER lease_expires_at TYPE DATE"),
    case("attempts as bigint", &[Drift::ColumnType], "ALTER TABLE t ALTER attempt TYPE BIGINT"),
    case(
        "a domain",
        &[Drift::ColumnType],
        "CREATE DOMAIN short AS TEXT CHECK (length(value) < 9); ALTER TABLE t ALTER key TYPE short",
    ),
    // Nullability.
    case("a hash may be NULL", &[Drift::Nullability], "ALTER TABLE t ALTER request_hash DROP NOT NULL"),
    case("a token may be NULL", &[Drift::Nullability], "ALTER TABLE t ALTER reservation_id DROP NOT NULL"),
    case("a creation may be NULL", &[Drift::Nullability], "ALTER TABLE t ALTER created_at DROP NOT NULL"),
    case("an expiry may be NULL", &[Drift::Nullability], "ALTER TABLE t ALTER expires_at DROP NOT NULL"),
    case("a status must be there", &[Drift::Nullability], "ALTER TABLE t ALTER response_status SET NOT NULL"),
    case("headers must be there", &[Drift::Nullability], "ALTER TABLE t ALTER response_headers SET NOT NULL"),
    case("a body must be there", &[Drift::Nullability], "ALTER TABLE t ALTER response_body SET NOT NULL"),
    case("a lease must be there", &[Drift::Nullability], "ALTER TABLE t ALTER lease_expires_at SET NOT NULL"),
    case("an attempt must be there", &[Drift::Nullability], "ALTER TABLE t ALTER attempt SET NOT NULL"),
    // Defaults.
    case("no creation by default", &[Drift::Default], "ALTER TABLE t ALTER created_at DROP DEFAULT"),
    case("another clock", &[Drift::Default], "ALTER TABLE t ALTER created_at SET DEFAULT clock_timestamp()"),
    case("a fixed creation", &[Drift::Default], "ALTER TABLE t ALTER created_at SET DEFAULT '2025-01-01'"),
    case("born finished", &[Drift::Default], "ALTER TABLE t ALTER response_status SET DEFAULT 200"),
    case("a lease by default", &[Drift::Default], "ALTER TABLE t ALTER lease_expires_at SET DEFAULT NOW()"),
    case("an expiry by default", &[Drift::Default], "ALTER TABLE t ALTER expires_at SET DEFAULT 'infinity'"),
    case(
        "an identity",
        &[Drift::Nullability, Drift::Default],
        "ALTER TABLE t ALTER attempt SET NOT NULL, ALTER attempt ADD GENERATED ALWAYS AS IDENTITY",
    ),
    case(
        "a generated column",
        &[Drift::Default],
        "ALTER TABLE t DROP COLUMN attempt, ADD COLUMN attempt INT GENERATED ALWAYS AS (7) STORED",
    ),
    case(
        "a collation that is blind to case",
        &[Drift::Collation],
        "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         ALTER TABLE t ALTER key TYPE TEXT COLLATE blind",
    ),
    // The key.
    case("no primary key", &[Drift::PrimaryKey], "ALTER TABLE t DROP CONSTRAINT t_pkey"),
    case("the key alone", &[Drift::PrimaryKey], "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (key)"),
    case(
        "a key of three",
        &[Drift::PrimaryKey],
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (principal_fingerprint, key, reservation_id)",
    ),
    case(
        "a deferrable key",
        &[Drift::PrimaryKey],
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (principal_fingerprint, key) DEFERRABLE",
    ),
    case(
        "a unique constraint for a key",
        &[Drift::PrimaryKey, Drift::Constraint],
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD UNIQUE (principal_fingerprint, key)",
    ),
    // The index.
    case("no index", &[Drift::Index], "DROP INDEX t_expires_idx"),
    case(
        "an index that failed",
        &[Drift::Index],
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_expires_idx'::regclass",
    ),
    case(
        "a partial index",
        &[Drift::Index],
        "DROP INDEX t_expires_idx; CREATE INDEX t_expires_idx ON t (expires_at) WHERE response_status = 200",
    ),
    case("a brin index", &[Drift::Index], "DROP INDEX t_expires_idx; CREATE INDEX ON t USING brin (expires_at)"),
    case("a hash index", &[Drift::Index], "DROP INDEX t_expires_idx; CREATE INDEX ON t USING hash (expires_at)"),
    case(
        "an index on another column",
        &[Drift::Index],
        "DROP INDEX t_expires_idx; CREATE INDEX t_expires_idx ON t (key)",
    ),
    case(
        "an index the wrong way round",
        &[Drift::Index],
        "DROP INDEX t_expires_idx; CREATE INDEX ON t (key, expires_at)",
    ),
    case(
        "an index on an expression",
        &[Drift::Index],
        "DROP INDEX t_expires_idx; CREATE INDEX ON t ((expires_at AT TIME ZONE 'UTC'))",
    ),
    case("a unique index on the key", &[Drift::Index], "CREATE UNIQUE INDEX ON t (key)"),
    case(
        "a unique index on the expiry",
        &[Drift::Index],
        "DROP INDEX t_expires_idx; CREATE UNIQUE INDEX t_expires_idx ON t (expires_at)",
    ),
    case("an index on the status", &[Drift::Index], "CREATE INDEX ON t (response_status)"),
    case("an index on the lease", &[Drift::Index], "CREATE INDEX ON t (lease_expires_at)"),
    case("an index that carries bodies", &[Drift::Index], "CREATE INDEX ON t (created_at) INCLUDE (response_body)"),
    // What refuses or changes rows.
    case("a check", &[Drift::Constraint], "ALTER TABLE t ADD CHECK (length(key) < 37)"),
    case("a check of new rows", &[Drift::Constraint], "ALTER TABLE t ADD CHECK (response_status < 500) NOT VALID"),
    case("a unique key", &[Drift::Constraint], "ALTER TABLE t ADD UNIQUE (key)"),
    case(
        "a foreign key",
        &[Drift::Constraint],
        "CREATE TABLE people (id TEXT PRIMARY KEY); ALTER TABLE t ADD FOREIGN KEY (principal_fingerprint) REFERENCES people",
    ),
    case(
        "a foreign key to it",
        &[Drift::Constraint],
        "CREATE TABLE payments (p TEXT, k TEXT, FOREIGN KEY (p, k) REFERENCES t)",
    ),
    case("an exclusion", &[Drift::Constraint], "ALTER TABLE t ADD EXCLUDE USING btree (key WITH =)"),
    case(
        "a trigger",
        &[Drift::Trigger],
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER refuses BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    ),
    case("a rule", &[Drift::Trigger], "CREATE RULE keeps AS ON DELETE TO t DO INSTEAD NOTHING"),
    case("row security", &[Drift::RowSecurity], "ALTER TABLE t ENABLE ROW LEVEL SECURITY"),
    case(
        "row security with a policy",
        &[Drift::RowSecurity],
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON t USING (key = 'a')",
    ),
    // Where and how it is kept.
    case("unlogged", &[Drift::Persistence], "ALTER TABLE t SET UNLOGGED"),
    case(
        "temporary",
        &[Drift::Persistence, Drift::OlderVersion],
        "DROP TABLE t; CREATE TEMPORARY TABLE t (
            principal_fingerprint TEXT NOT NULL, key TEXT NOT NULL, request_hash BYTEA NOT NULL,
            reservation_id UUID NOT NULL, response_status INT, response_headers BYTEA, response_body BYTEA,
            created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(), expires_at TIMESTAMPTZ NOT NULL,
            lease_expires_at TIMESTAMPTZ, attempt INT, PRIMARY KEY (principal_fingerprint, key));
         CREATE INDEX ON t (expires_at)",
    ),
    case(
        "hides another",
        &[Drift::Shadows],
        "CREATE SCHEMA late; CREATE TABLE late.t (LIKE t); SET LOCAL search_path = public, late",
    ),
    case(
        "hidden by another",
        &[
            Drift::MissingColumn,
            Drift::UnknownColumn,
            Drift::PrimaryKey,
            Drift::Index,
            Drift::Shadows,
            Drift::OlderVersion,
        ],
        "CREATE SCHEMA early; CREATE TABLE early.t (id INT); SET LOCAL search_path = early, public",
    ),
    case("an heir", &[Drift::Inheritance], "CREATE TABLE more () INHERITS (t)"),
    case("an ancestor", &[Drift::Inheritance], "CREATE TABLE base (key TEXT NOT NULL); ALTER TABLE t INHERIT base"),
    case(
        "published without identity",
        &[Drift::Replication],
        "ALTER TABLE t REPLICA IDENTITY NOTHING; CREATE PUBLICATION all_of_it FOR ALL TABLES",
    ),
    case("read-only", &[Drift::ReadOnly], "SET LOCAL default_transaction_read_only = on"),
    // Rights.
    case("no rights at all", &[Drift::Privilege], "CREATE ROLE cratestack_app; SET LOCAL ROLE cratestack_app"),
    case(
        "no right to read",
        &[Drift::Privilege],
        "CREATE ROLE cratestack_app; GRANT INSERT, UPDATE, DELETE ON t TO cratestack_app; SET LOCAL ROLE cratestack_app",
    ),
    case(
        "no right to insert",
        &[Drift::Privilege],
        "CREATE ROLE cratestack_app; GRANT SELECT, UPDATE, DELETE ON t TO cratestack_app; SET LOCAL ROLE cratestack_app",
    ),
    case(
        "no right to update",
        &[Drift::Privilege],
        "CREATE ROLE cratestack_app; GRANT SELECT, INSERT, DELETE ON t TO cratestack_app; SET LOCAL ROLE cratestack_app",
    ),
    case(
        "no right to delete",
        &[Drift::Privilege],
        "CREATE ROLE cratestack_app; GRANT SELECT, INSERT, UPDATE ON t TO cratestack_app; SET LOCAL ROLE cratestack_app",
    ),
    case(
        "a right to some columns",
        &[Drift::Privilege],
        "CREATE ROLE cratestack_app; GRANT SELECT, INSERT, DELETE, UPDATE (key) ON t TO cratestack_app;
         SET LOCAL ROLE cratestack_app",
    ),
    // Partitions.
    case("a partition missing", &[Drift::Partitions], "DROP TABLE t; @PARTITIONED; DROP TABLE t_p2"),
    case("no partition at all", &[Drift::Partitions], "DROP TABLE t; @PARTITIONED; DROP TABLE t_p0, t_p1, t_p2, t_p3"),
    case("an unlogged partition", &[Drift::Persistence], "DROP TABLE t; @PARTITIONED; ALTER TABLE t_p1 SET UNLOGGED"),
    case(
        "a partition without options",
        &[Drift::Storage],
        "DROP TABLE t; @PARTITIONED; ALTER TABLE t_p1 RESET (autovacuum_vacuum_scale_factor)",
    ),
    case(
        "partitions by the first letter",
        &[Drift::Partitions],
        "CREATE TABLE u (LIKE t INCLUDING ALL) PARTITION BY RANGE (key); DROP TABLE t; ALTER TABLE u RENAME TO t;
         CREATE TABLE t_a PARTITION OF t FOR VALUES FROM ('a') TO ('b') WITH
            (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02)",
    ),
    case(
        "an index lost in a partitioned table",
        &[Drift::Index],
        "DROP TABLE t; @PARTITIONED; DROP INDEX t_expires_idx",
    ),
];

const HARMLESS: &[(&str, &str)] = &[
    ("nothing", "SELECT 1"),
    ("an index on the creation", "CREATE INDEX ON t (created_at)"),
    ("an index on the principal", "CREATE INDEX ON t (principal_fingerprint)"),
    ("an index of another name", "ALTER INDEX t_expires_idx RENAME TO by_expiry"),
    ("an index that goes on", "DROP INDEX t_expires_idx; CREATE INDEX ON t (expires_at, key)"),
    ("an index from behind", "DROP INDEX t_expires_idx; CREATE INDEX ON t (expires_at DESC)"),
    ("a key of another name", "ALTER TABLE t RENAME CONSTRAINT t_pkey TO the_key"),
    (
        "a key the other way round",
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (key, principal_fingerprint)",
    ),
    ("the same moment by another name", "ALTER TABLE t ALTER created_at SET DEFAULT CURRENT_TIMESTAMP"),
    ("options of the operator's", "ALTER TABLE t SET (autovacuum_vacuum_scale_factor = 0.5, fillfactor = 80)"),
    ("columns in another order", "ALTER TABLE t DROP COLUMN response_body; ALTER TABLE t ADD COLUMN response_body BYTEA"),
    ("a remark", "COMMENT ON TABLE t IS 'version 9'"),
    ("statistics", "ALTER TABLE t ALTER key SET STATISTICS 500"),
    ("compression", "ALTER TABLE t ALTER response_body SET STORAGE EXTERNAL"),
    ("a collation of its own", "ALTER TABLE t ALTER key TYPE TEXT COLLATE \"C\""),
    (
        "a trigger that is off",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER refuses BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t DISABLE TRIGGER refuses",
    ),
    ("another table of this name, elsewhere", "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.t (id INT)"),
    ("published", "CREATE PUBLICATION all_of_it FOR ALL TABLES"),
    (
        "a role with the rights it needs",
        "CREATE ROLE cratestack_app; GRANT SELECT, INSERT, UPDATE, DELETE ON t TO cratestack_app;
         SET LOCAL ROLE cratestack_app",
    ),
    (
        "rights column by column",
        "CREATE ROLE cratestack_app; GRANT DELETE ON t TO cratestack_app;
         GRANT SELECT (principal_fingerprint, key, request_hash, reservation_id, response_status, response_headers,
            response_body, created_at, expires_at, lease_expires_at, attempt),
            INSERT (principal_fingerprint, key, request_hash, reservation_id, response_status, response_headers,
            response_body, created_at, expires_at, lease_expires_at, attempt),
            UPDATE (principal_fingerprint, key, request_hash, reservation_id, response_status, response_headers,
            response_body, created_at, expires_at, lease_expires_at, attempt) ON t TO cratestack_app;
         SET LOCAL ROLE cratestack_app",
    ),
    ("another owner", "CREATE ROLE cratestack_owner; ALTER TABLE t OWNER TO cratestack_owner"),
    ("partitions", "DROP TABLE t; @PARTITIONED"),
    (
        "a partition split in two",
        "DROP TABLE t; @PARTITIONED; DROP TABLE t_p3;
         CREATE TABLE t_p3 PARTITION OF t FOR VALUES WITH (MODULUS 8, REMAINDER 3) WITH
            (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02);
         CREATE TABLE t_p7 PARTITION OF t FOR VALUES WITH (MODULUS 8, REMAINDER 7) WITH
            (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02)",
    ),
];

fn spelled(sql: &str) -> String {
    let partitioned = default_table().partitioned(Partitions::new(4).unwrap());
    let ddl = partitioned.ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap();
    let ddl = ddl.replace("cratestack_idempotency", "t");
    sql.replace("@PARTITIONED", ddl.trim_end().trim_end_matches(';'))
}

async fn report(connection: &mut PgConnection) -> Report {
    inspect(connection, &crate::databases::named(None, "t")).await.report()
}

#[tokio::test]
async fn every_kind_of_drift_is_found_as_what_it_is_and_mended_by_what_is_told() {
    let (_database, mut connection) = postgres().await;
    let ddl = crate::databases::named(None, "t").ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap();
    run(&mut connection, &ddl).await;
    assert!(DRIFT.len() >= 60, "{}", DRIFT.len());
    let mut mended = 0;
    for case in DRIFT {
        let mut transaction = connection.begin().await.unwrap();
        run(&mut transaction, &spelled(case.sql)).await;
        let report = report(&mut transaction).await;
        let found: Vec<_> = report.findings().iter().map(|finding| finding.drift).collect();
        for expected in case.found {
            assert!(found.contains(expected), "{}: no {expected:?} in\n{report}", case.what);
        }
        for drift in &found {
            assert!(case.found.contains(drift), "{}: {drift:?} is not there\n{report}", case.what);
        }
        let statements: Vec<_> = report
            .findings()
            .iter()
            .filter_map(|finding| finding.mend.as_deref())
            .filter(|mend| !mend.starts_with("cratestack-schema"))
            .collect();
        if statements.len() == found.len() {
            for statement in statements {
                // The owner mends, and a transaction builds no index beside it.
                let statement = format!("RESET ROLE; {}", statement.replace("CONCURRENTLY ", ""));
                run(&mut transaction, &statement).await;
            }
            if case.sql.contains("ROLE cratestack_app") {
                run(&mut transaction, "SET LOCAL ROLE cratestack_app").await;
            }
            let after = self::report(&mut transaction).await;
            assert!(after.is_ok(), "{}: not mended\n{report}\n{after}", case.what);
            mended += 1;
        }
        transaction.rollback().await.unwrap();
    }
    println!("{} kinds of drift, {mended} mended by what the report says", DRIFT.len());
    assert!(mended >= 40, "{mended}");
}

#[tokio::test]
async fn what_does_no_harm_is_not_found() {
    let (_database, mut connection) = postgres().await;
    let ddl = crate::databases::named(None, "t").ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap();
    run(&mut connection, &ddl).await;
    for (what, sql) in HARMLESS {
        let mut transaction = connection.begin().await.unwrap();
        run(&mut transaction, &spelled(sql)).await;
        let report = report(&mut transaction).await;
        assert!(report.is_ok(), "{what}:\n{report}");
        transaction.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_schema_that_is_missing_or_closed_is_told_apart_from_a_missing_table() {
    let (_database, mut connection) = postgres().await;
    let table = crate::databases::named(Some("billing"), "keys");
    let mut transaction = connection.begin().await.unwrap();
    let drifts = |report: &Report| report.findings().iter().map(|finding| finding.drift).collect::<Vec<_>>();
    assert_eq!(drifts(&inspect(&mut transaction, &table).await.report()), [Drift::Schema]);
    run(&mut transaction, "CREATE SCHEMA billing").await;
    assert_eq!(drifts(&inspect(&mut transaction, &table).await.report()), [Drift::MissingTable]);
    run(&mut transaction, &table.ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap()).await;
    assert_eq!(drifts(&inspect(&mut transaction, &table).await.report()), []);
    run(
        &mut transaction,
        "CREATE ROLE cratestack_app; GRANT ALL ON billing.keys TO cratestack_app; SET LOCAL ROLE cratestack_app",
    )
    .await;
    assert_eq!(drifts(&inspect(&mut transaction, &table).await.report()), [Drift::Schema]);
}

/// A table of the first version, then of each later one: which command leads on is part of the answer.
#[tokio::test]
async fn an_older_version_is_told_with_the_command_that_upgrades_it() {
    let (_database, mut connection) = postgres().await;
    let table = crate::databases::named(Some("public"), "my keys");
    for version in 1..IDEMPOTENCY.latest() {
        let mut transaction = connection.begin().await.unwrap();
        run(&mut transaction, &table.ddl(Dialect::Postgres, version).unwrap()).await;
        let found = inspect(&mut transaction, &table).await;
        assert_eq!(found.version(), Some(version));
        let report = found.report();
        let [finding] = report.findings() else { panic!("{report}") };
        assert_eq!(finding.drift, Drift::OlderVersion);
        let command = format!("cratestack-schema migration --from {version} --schema public --table 'my keys'");
        assert_eq!(finding.mend.as_deref(), Some(command.as_str()));
        for step in found.upgrade().unwrap() {
            run(&mut transaction, &step.sql).await;
        }
        assert!(inspect(&mut transaction, &table).await.report().is_ok());
        transaction.rollback().await.unwrap();
    }
}
