//! What somebody did to the table by hand, and what `check` says of it.

use cratestack_runtime::schema::{FindingKind, Report, TableName};
use cratestack_runtime::{PostgresStore, SqliteStore};
use cratestack_schema::{Dialect, IDEMPOTENCY, Layout};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, SqlitePool};

use crate::databases::{pool, postgres, run, run_sqlite, sqlite};

use FindingKind::{
    Column, Default, Index, Interference, Key, Nullability, Partition, Rights, Storage, Table, Type, Version,
};

/// What is done (`{t}` the table, `{s}` its schema), the kind that it is, and what the text says among other things.
/// One difference makes one finding, unless a kind says otherwise.
const POSTGRES: &[(&str, FindingKind, &str)] = &[
    ("DROP TABLE {t}", Table, "there is no table"),
    ("ALTER TABLE {t} RENAME TO other", Table, "there is no table"),
    ("DROP TABLE {t}; CREATE VIEW {t} AS SELECT 1 AS key", Table, "is a view"),
    ("DROP TABLE {t}; CREATE MATERIALIZED VIEW {t} AS SELECT 1 AS key", Table, "is a materialized view"),
    ("DROP TABLE {t}; CREATE SEQUENCE {t}", Table, "is a sequence"),
    ("ALTER TABLE {t} DROP request_hash", Column, "request_hash is missing"),
    ("ALTER TABLE {t} DROP reservation_id", Column, "reservation_id is missing"),
    ("ALTER TABLE {t} DROP response_status", Column, "response_status is missing"),
    ("ALTER TABLE {t} DROP response_headers", Column, "response_headers is missing"),
    ("ALTER TABLE {t} DROP response_body", Column, "response_body is missing"),
    ("ALTER TABLE {t} DROP created_at", Column, "created_at is missing"),
    ("ALTER TABLE {t} DROP lease_expires_at", Column, "lease_expires_at is missing"),
    ("ALTER TABLE {t} DROP attempt", Column, "attempt is missing"),
    ("ALTER TABLE {t} DROP steps", Column, "steps is missing"),
    ("ALTER TABLE {t} DROP steps_token", Column, "steps_token is missing"),
    ("ALTER TABLE {t} RENAME response_body TO body", Column, "response_body is missing"),
    ("ALTER TABLE {t} DROP attempt, DROP lease_expires_at", Version, "of version 1, this program's is"),
    (
        "ALTER TABLE {t} DROP steps, DROP steps_token, DROP attempt, DROP lease_expires_at",
        Version,
        "of version 1, this program's is",
    ),
    ("ALTER TABLE {t} DROP steps, DROP steps_token", Version, "of version 2, this program's is"),
    ("ALTER TABLE {t} ADD shard INT", Version, "unknown to this program"),
    ("ALTER TABLE {t} ADD tenant TEXT NOT NULL", Column, "no row goes in"),
    ("ALTER TABLE {t} ADD tenant TEXT NOT NULL DEFAULT ''", Version, "unknown to this program"),
    ("ALTER TABLE {t} ADD id BIGINT GENERATED ALWAYS AS IDENTITY", Version, "unknown to this program"),
    ("ALTER TABLE {t} ALTER principal_fingerprint TYPE VARCHAR(64)", Type, "character varying(64), expected text"),
    ("ALTER TABLE {t} ALTER key TYPE CHAR(36)", Type, "key is character(36)"),
    ("ALTER TABLE {t} ALTER request_hash TYPE TEXT USING ''", Type, "request_hash is text, expected bytea"),
    ("ALTER TABLE {t} ALTER reservation_id TYPE TEXT", Type, "reservation_id is text, expected uuid"),
    ("ALTER TABLE {t} ALTER response_status TYPE SMALLINT", Type, "response_status is smallint, expected integer"),
    ("ALTER TABLE {t} ALTER response_status TYPE BIGINT", Type, "response_status is bigint"),
    ("ALTER TABLE {t} ALTER response_headers TYPE JSONB USING '{}'", Type, "response_headers is jsonb"),
    ("ALTER TABLE {t} ALTER response_body TYPE TEXT USING ''", Type, "response_body is text"),
    ("ALTER TABLE {t} ALTER created_at TYPE TIMESTAMP", Type, "created_at is timestamp without time zone"),
    ("ALTER TABLE {t} ALTER created_at TYPE TIMESTAMPTZ(0)", Type, "created_at is timestamp(0) with time zone"),
    ("ALTER TABLE {t} ALTER expires_at TYPE DATE", Type, "expires_at is date"),
    ("ALTER TABLE {t} ALTER lease_expires_at TYPE TIMESTAMPTZ(3)", Type, "lease_expires_at is timestamp(3)"),
    ("ALTER TABLE {t} ALTER attempt TYPE NUMERIC", Type, "attempt is numeric"),
    ("ALTER TABLE {t} ALTER steps TYPE TEXT USING ''", Type, "steps is text, expected bytea"),
    ("ALTER TABLE {t} ALTER steps_token TYPE TEXT", Type, "steps_token is text, expected uuid"),
    (
        "CREATE COLLATION {s}.lax (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         ALTER TABLE {t} ALTER key TYPE TEXT COLLATE {s}.lax",
        Type,
        "under which different texts are equal",
    ),
    ("ALTER TABLE {t} ALTER request_hash DROP NOT NULL", Nullability, "request_hash can be NULL"),
    ("ALTER TABLE {t} ALTER reservation_id DROP NOT NULL", Nullability, "reservation_id can be NULL"),
    ("ALTER TABLE {t} ALTER created_at DROP NOT NULL", Nullability, "created_at can be NULL"),
    ("ALTER TABLE {t} ALTER expires_at DROP NOT NULL", Nullability, "expires_at can be NULL"),
    ("ALTER TABLE {t} ALTER response_status SET NOT NULL", Nullability, "response_status is NOT NULL"),
    ("ALTER TABLE {t} ALTER response_headers SET NOT NULL", Nullability, "response_headers is NOT NULL"),
    ("ALTER TABLE {t} ALTER response_body SET NOT NULL", Nullability, "response_body is NOT NULL"),
    ("ALTER TABLE {t} ALTER lease_expires_at SET NOT NULL", Nullability, "lease_expires_at is NOT NULL"),
    ("ALTER TABLE {t} ALTER attempt SET NOT NULL", Nullability, "attempt is NOT NULL"),
    ("ALTER TABLE {t} ALTER steps SET NOT NULL", Nullability, "steps is NOT NULL"),
    ("ALTER TABLE {t} ALTER steps_token SET NOT NULL", Nullability, "steps_token is NOT NULL"),
    ("ALTER TABLE {t} ALTER created_at DROP DEFAULT", Default, "created_at has no default"),
    ("ALTER TABLE {t} ALTER created_at SET DEFAULT clock_timestamp()", Default, "defaults to clock_timestamp()"),
    ("ALTER TABLE {t} ALTER created_at SET DEFAULT 'epoch'", Default, "created_at defaults to"),
    ("ALTER TABLE {t} ALTER response_status SET DEFAULT 200", Default, "response_status defaults to 200"),
    ("ALTER TABLE {t} ALTER expires_at SET DEFAULT NOW()", Default, "expires_at defaults to now()"),
    ("ALTER TABLE {t} ALTER attempt SET DEFAULT 0", Default, "attempt defaults to 0"),
    ("ALTER TABLE {t} ALTER steps_token SET DEFAULT gen_random_uuid()", Default, "steps_token defaults to"),
    (
        "ALTER TABLE {t} DROP attempt; ALTER TABLE {t} ADD attempt INT GENERATED ALWAYS AS (1) STORED",
        Default,
        "attempt is generated",
    ),
    ("ALTER TABLE {t} DROP CONSTRAINT t_pkey", Key, "there is no primary key"),
    ("ALTER TABLE {t} DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (key)", Key, "the primary key is (key)"),
    (
        "ALTER TABLE {t} DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (principal_fingerprint, key, reservation_id)",
        Key,
        "the primary key is (principal_fingerprint, key, reservation_id)",
    ),
    (
        "ALTER TABLE {t} DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (principal_fingerprint, key) DEFERRABLE",
        Key,
        "deferrable",
    ),
    ("DROP INDEX {s}.t_expires_idx", Index, "there is no index on (expires_at)"),
    ("DROP INDEX {s}.t_expires_idx; CREATE INDEX t_expires_idx ON {t} (created_at)", Index, "on (created_at) by btree"),
    ("DROP INDEX {s}.t_expires_idx; CREATE INDEX t_expires_idx ON {t} USING hash (expires_at)", Index, "by hash"),
    ("DROP INDEX {s}.t_expires_idx; CREATE INDEX t_expires_idx ON {t} USING brin (expires_at)", Index, "by brin"),
    (
        "DROP INDEX {s}.t_expires_idx; CREATE INDEX t_expires_idx ON {t} (expires_at) WHERE response_status > 0",
        Index,
        "partial",
    ),
    ("DROP INDEX {s}.t_expires_idx; CREATE INDEX t_expires_idx ON {t} (key, expires_at)", Index, "on (key,expires_at)"),
    ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{s}.t_expires_idx'::regclass", Index, "is invalid"),
    ("CREATE UNIQUE INDEX ON {t} (key)", Interference, "is unique"),
    ("ALTER TABLE {t} ADD UNIQUE (reservation_id)", Interference, "UNIQUE (reservation_id)"),
    ("ALTER TABLE {t} ADD CHECK (length(key) < 37)", Interference, "CHECK"),
    ("ALTER TABLE {t} ADD EXCLUDE (key WITH =)", Interference, "EXCLUDE"),
    (
        "CREATE TABLE {s}.users (id TEXT PRIMARY KEY);
         ALTER TABLE {t} ADD FOREIGN KEY (principal_fingerprint) REFERENCES {s}.users",
        Interference,
        "FOREIGN KEY",
    ),
    (
        "CREATE TABLE {s}.payments (p TEXT, k TEXT, FOREIGN KEY (p, k) REFERENCES {t})",
        Interference,
        "refers to the table",
    ),
    (
        "CREATE FUNCTION {s}.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER audit BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION {s}.f()",
        Interference,
        "the trigger \"audit\"",
    ),
    ("CREATE RULE keep AS ON DELETE TO {t} DO INSTEAD NOTHING", Interference, "the rule \"keep\""),
    ("CREATE TABLE {s}.more () INHERITS ({t})", Interference, "inherit from each other"),
    ("CREATE TABLE {s}.base (key TEXT NOT NULL); ALTER TABLE {t} INHERIT {s}.base", Interference, "inherit from each"),
    (
        "CREATE PUBLICATION {s} FOR TABLE {t}; ALTER TABLE {t} REPLICA IDENTITY NOTHING",
        Interference,
        "no replica identity",
    ),
    (
        "CREATE UNIQUE INDEX once ON {t} (reservation_id); ALTER TABLE {t} REPLICA IDENTITY USING INDEX once;
         DROP INDEX {s}.once; CREATE PUBLICATION {s} FOR TABLE {t}",
        Interference,
        "no replica identity",
    ),
    ("ALTER TABLE {t} SET UNLOGGED", Storage, "a crash of the server empties it"),
    ("ALTER TABLE {t} SET (autovacuum_enabled = off)", Storage, "autovacuum is off"),
];

/// What is done to a table of four partitions.
const PARTITIONED: &[(&str, FindingKind, &str)] = &[
    ("DROP TABLE {s}.t_p3", Partition, "1 of 4 keys"),
    ("ALTER TABLE {t} DETACH PARTITION {s}.t_p0", Partition, "1 of 4 keys"),
    (
        "DROP TABLE {s}.t_p3; CREATE TABLE {s}.t_p3 PARTITION OF {t} FOR VALUES WITH (MODULUS 8, REMAINDER 3)",
        Partition,
        "1 of 8 keys",
    ),
    ("ALTER TABLE {s}.t_p1 SET UNLOGGED", Storage, "t_p1\" is unlogged"),
    ("ALTER TABLE {s}.t_p2 SET (autovacuum_enabled = false)", Storage, "t_p2\""),
    ("DROP INDEX {s}.t_expires_idx", Index, "there is no index"),
    (
        "DROP TABLE {t}; CREATE TABLE {t} (LIKE {s}.model INCLUDING ALL) PARTITION BY LIST (key)",
        Partition,
        "partitioned by LIST (key)",
    ),
];

/// What a role without rights is shown.
const RIGHTS: &[(&str, FindingKind, &str)] = &[
    ("GRANT SELECT, INSERT, UPDATE ON {t} TO {r}", Rights, "lacks DELETE"),
    ("GRANT SELECT, INSERT, DELETE ON {t} TO {r}", Rights, "lacks UPDATE"),
    ("GRANT SELECT, UPDATE, DELETE ON {t} TO {r}", Rights, "lacks INSERT"),
    ("GRANT INSERT, UPDATE, DELETE ON {t} TO {r}", Rights, "lacks SELECT"),
    ("SELECT 1", Rights, "lacks SELECT, INSERT, UPDATE, DELETE"),
    ("GRANT DELETE, SELECT, INSERT, UPDATE (key) ON {t} TO {r}", Rights, "lacks UPDATE"),
    ("GRANT ALL ON {t} TO {r}; REVOKE USAGE ON SCHEMA {s} FROM {r}", Rights, "may not use the schema"),
    ("GRANT ALL ON {t} TO {r}; ALTER TABLE {t} ENABLE ROW LEVEL SECURITY", Interference, "row security hides rows"),
    ("GRANT ALL ON {t} TO {r}; ALTER TABLE {t} DROP attempt, DROP lease_expires_at", Version, "only its owner"),
];

/// What may be done to the table, since it changes nothing for this program.
const HARMLESS: &[&str] = &[
    "SELECT 1",
    "ANALYZE {t}",
    "COMMENT ON TABLE {t} IS 'ours'",
    "CREATE INDEX ON {t} (created_at)",
    "CREATE INDEX ON {t} (key) WHERE response_status IS NULL",
    "ALTER TABLE {t} SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01)",
    "ALTER TABLE {t} ALTER response_body SET STORAGE EXTERNAL",
    "ALTER TABLE {t} ALTER key SET STATISTICS 500",
    "ALTER TABLE {t} ALTER key TYPE TEXT COLLATE \"C\"",
    "ALTER TABLE {t} ALTER created_at SET DEFAULT CURRENT_TIMESTAMP",
    "ALTER TABLE {t} ALTER attempt SET DEFAULT NULL",
    "ALTER TABLE {t} DROP CONSTRAINT t_pkey, ADD CONSTRAINT mine PRIMARY KEY (key, principal_fingerprint)",
    "DROP INDEX {s}.t_expires_idx; CREATE INDEX other ON {t} (expires_at DESC)",
    "DROP INDEX {s}.t_expires_idx; CREATE INDEX other ON {t} (expires_at, key)",
    "ALTER INDEX {s}.t_expires_idx RENAME TO other",
    "ALTER TABLE {t} ADD gone INT; ALTER TABLE {t} DROP gone",
    "ALTER TABLE {t} DROP attempt; ALTER TABLE {t} ADD attempt INT",
    "ALTER TABLE {t} REPLICA IDENTITY FULL",
    "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY",
    "CREATE PUBLICATION {s} FOR TABLE {t}",
    "CREATE PUBLICATION {s} FOR TABLE {t} WITH (publish = 'insert'); ALTER TABLE {t} REPLICA IDENTITY NOTHING",
    "CREATE TABLE {s}.other (); CREATE VIEW {s}.v AS SELECT * FROM {t}",
    "CLUSTER {t} USING t_pkey",
    "CREATE FUNCTION {s}.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
     CREATE TRIGGER off BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION {s}.f();
     ALTER TABLE {t} DISABLE TRIGGER off",
];

fn fill(text: &str, schema: &str) -> String {
    text.replace("{t}", &format!("{schema}.t")).replace("{s}", schema).replace("{r}", &format!("role_{schema}"))
}

fn is_found(done: &str, kind: FindingKind, says: &str, report: &Report) {
    let findings = report.findings();
    assert!(findings.iter().any(|finding| finding.kind == kind && finding.text.contains(says)), "{done}\n{report}");
    // What is renamed is missing under one name and unknown under the other.
    let expected = if done.contains("RENAME response_body") { 2 } else { 1 };
    assert_eq!(findings.len(), expected, "{done}\n{report}");
}

/// Runs what the report tells, where it is SQL, and then what it found must be gone.
async fn is_mended(done: &str, report: &Report, pool: &sqlx::PgPool, store: &PostgresStore) -> bool {
    let remedies: Vec<_> = report.findings().iter().filter_map(|finding| finding.remedy.as_deref()).collect();
    if remedies.len() < report.findings().len() || remedies.iter().any(|remedy| !remedy.ends_with(';')) {
        return false;
    }
    for remedy in remedies {
        // Several statements sent as one are a transaction, in which no index is built beside traffic.
        run(pool, &remedy.replace("CONCURRENTLY ", "")).await;
    }
    let after = store.check().await.unwrap();
    let left = after.findings().iter().any(|finding| report.findings().contains(finding));
    assert!(!left, "{done}\n{report}\nand then\n{after}");
    true
}

async fn create(pool: &sqlx::PgPool, schema: &str, partitions: u16) -> PostgresStore {
    run(pool, &format!("CREATE SCHEMA {schema}")).await;
    let name = TableName::new(Some(schema), "t").unwrap();
    let ddl = Layout::new(name.clone()).partitions(partitions).ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap();
    run(pool, &ddl).await;
    PostgresStore::new(pool.clone()).table(name).unwrap()
}

#[tokio::test]
async fn every_drift_of_a_postgres_table_is_found_and_nothing_beside_it() {
    let (database, pool) = postgres(4).await;
    let (mut found, mut mended) = (0, 0);
    for (number, (done, kind, says)) in POSTGRES.iter().enumerate() {
        let schema = format!("s{number}");
        let store = create(&pool, &schema, 0).await;
        run(&pool, &fill(done, &schema)).await;
        let report = store.check().await.unwrap();
        is_found(done, *kind, says, &report);
        found += 1;
        mended += usize::from(is_mended(done, &report, &pool, &store).await);
    }
    for (number, (done, kind, says)) in PARTITIONED.iter().enumerate() {
        let schema = format!("p{number}");
        let store = create(&pool, &schema, 4).await;
        run(&pool, &fill("CREATE TABLE {s}.model (LIKE {t} INCLUDING ALL)", &schema)).await;
        let unkeyed = if done.contains("BY LIST") { "ALTER TABLE {s}.model DROP CONSTRAINT model_pkey" } else { "" };
        run(&pool, &fill(unkeyed, &schema)).await;
        run(&pool, &fill(done, &schema)).await;
        if done.contains("BY LIST") {
            run(&pool, &fill("ALTER TABLE {t} ADD PRIMARY KEY (principal_fingerprint, key)", &schema)).await;
        }
        is_found(done, *kind, says, &store.check().await.unwrap());
        found += 1;
    }
    for (number, (done, kind, says)) in RIGHTS.iter().enumerate() {
        let schema = format!("r{number}");
        let store = create(&pool, &schema, 0).await;
        let role = format!("{}_r{number}", database.name());
        run(&pool, &format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}")).await;
        run(&pool, &fill(done, &schema).replace(&format!("role_{schema}"), &role)).await;
        // Only what the role may do is another; the table is sound.
        let theirs = crate::databases::as_role(database.url(), &role).await;
        let their_store =
            PostgresStore::new(theirs.clone()).table(TableName::new(Some(&schema), "t").unwrap()).unwrap();
        is_found(done, *kind, says, &their_store.check().await.unwrap());
        theirs.close().await;
        assert!(*kind == Version || store.check().await.unwrap().is_clean(), "{done}");
        run(&pool, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
        found += 1;
    }
    println!(
        "{found} kinds of drift found on Postgres, {mended} of them mended by the statements that the report tells"
    );
    assert!(found >= 60 && mended >= 30, "{found} {mended}");
}

#[tokio::test]
async fn what_is_harmless_is_no_drift() {
    let (database, pool) = postgres(4).await;
    for (number, done) in HARMLESS.iter().enumerate() {
        let schema = format!("s{number}");
        let store = create(&pool, &schema, 0).await;
        run(&pool, &fill(done, &schema)).await;
        let report = store.check().await.unwrap();
        assert!(report.is_clean(), "{done}\n{report}");
        assert_eq!(report.version(), Some(IDEMPOTENCY.latest()));
    }
    for partitions in [1, 2, 7] {
        let store = create(&pool, &format!("p{partitions}"), partitions).await;
        let report = store.check().await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
    // A partition may be split in two.
    run(&pool, "DROP TABLE p2.t_p1").await;
    for remainder in [1, 3] {
        let part = "CREATE TABLE p2.t_{r} PARTITION OF p2.t FOR VALUES WITH (MODULUS 4, REMAINDER {r})";
        run(&pool, &part.replace("{r}", &remainder.to_string())).await;
    }
    let store = PostgresStore::new(pool.clone()).table(TableName::new(Some("p2"), "t").unwrap()).unwrap();
    assert!(store.check().await.unwrap().is_clean());
    // A role with no more than the rights that it needs.
    let role = format!("{}_least", database.name());
    run(
        &pool,
        &format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA p1 TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON p1.t TO {role}"
        ),
    )
    .await;
    let least = crate::databases::as_role(database.url(), &role).await;
    let store = PostgresStore::new(least.clone()).table(TableName::new(Some("p1"), "t").unwrap()).unwrap();
    let report = store.check().await.unwrap();
    assert!(report.is_clean(), "{report}");
    least.close().await;
    run(&pool, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_table_elsewhere_is_named() {
    let (database, pool_) = postgres(2).await;
    create(&pool_, "s1", 0).await;
    let store = PostgresStore::new(pool(database.url(), 1).await).table(TableName::new(None, "t").unwrap()).unwrap();
    let report = store.check().await.unwrap();
    assert!(report.to_string().contains("there is one in \"s1\""), "{report}");
    let store = PostgresStore::new(pool_).table(TableName::new(Some("none"), "t").unwrap()).unwrap();
    let report = store.check().await.unwrap();
    assert!(report.to_string().contains("there is no schema \"none\""), "{report}");
}

#[tokio::test]
async fn where_a_session_stands_matters_too() {
    let (database, admin) = postgres(2).await;
    create(&admin, "s1", 0).await;
    create(&admin, "s2", 0).await;
    let check = async |settings: &[(&str, &str)]| {
        let options: PgConnectOptions = database.url().parse().unwrap();
        let pool =
            PgPoolOptions::new().max_connections(1).connect_with(options.options(settings.to_vec())).await.unwrap();
        let report =
            PostgresStore::new(pool.clone()).table(TableName::new(None, "t").unwrap()).unwrap().check().await.unwrap();
        pool.close().await;
        report
    };
    assert!(check(&[("search_path", "s1")]).await.is_clean());
    is_found(
        "two",
        Table,
        "the one in the schema \"s2\" is used, the one in \"s1\" is not",
        &check(&[("search_path", "s2,s1")]).await,
    );
    let read_only = [("search_path", "s1"), ("default_transaction_read_only", "on")];
    is_found("read-only", Interference, "are read-only here", &check(&read_only).await);
}

#[tokio::test]
async fn where_an_sqlite_connection_stands_matters_too() {
    let ddl = IDEMPOTENCY.ddl(Dialect::Sqlite, IDEMPOTENCY.latest()).unwrap();
    let hiding = ddl.replace("CREATE TABLE IF NOT EXISTS", "CREATE TEMP TABLE").replace("IF NOT EXISTS cr", "temp.cr");
    for (done, kind, says) in [
        ("PRAGMA query_only = on", Interference, "query_only"),
        (hiding.as_str(), Storage, "temporary"),
        (
            "CREATE TEMP TRIGGER audit BEFORE DELETE ON cratestack_idempotency BEGIN SELECT RAISE(IGNORE); END",
            Interference,
            "the trigger",
        ),
    ] {
        let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        run_sqlite(&pool, &ddl).await;
        run_sqlite(&pool, done).await;
        is_found(done, kind, says, &SqliteStore::new(pool).check().await.unwrap());
    }
}

const SQLITE: &[(&str, FindingKind, &str)] = &[
    ("DROP TABLE t", Table, "there is no table"),
    ("DROP TABLE t; CREATE VIEW t AS SELECT 1 AS key", Table, "is a view"),
    ("ALTER TABLE t DROP attempt", Column, "attempt is missing"),
    ("ALTER TABLE t DROP response_body", Column, "response_body is missing"),
    ("ALTER TABLE t DROP request_hash", Column, "request_hash is missing"),
    ("ALTER TABLE t DROP attempt; ALTER TABLE t DROP lease_expires_at", Version, "of version 1"),
    ("ALTER TABLE t DROP steps", Column, "steps is missing"),
    ("ALTER TABLE t DROP steps; ALTER TABLE t DROP steps_token", Version, "of version 2"),
    ("ALTER TABLE t DROP steps; ALTER TABLE t ADD steps TEXT", Type, "steps is TEXT, expected BLOB"),
    ("ALTER TABLE t ADD shard INT", Version, "unknown to this program"),
    ("ALTER TABLE t DROP attempt; ALTER TABLE t ADD attempt TEXT", Type, "attempt is TEXT, expected INTEGER"),
    ("ALTER TABLE t DROP attempt; ALTER TABLE t ADD attempt INTEGER DEFAULT 1", Default, "attempt defaults to 1"),
    ("ALTER TABLE t DROP attempt; ALTER TABLE t ADD attempt INTEGER AS (1)", Default, "attempt is generated"),
    ("ALTER TABLE t ADD x INTEGER CHECK (x > 0); ALTER TABLE t DROP attempt", Interference, "CHECK"),
    ("DROP INDEX t_expires_idx", Index, "there is no index"),
    ("DROP INDEX t_expires_idx; CREATE INDEX t_expires_idx ON t (created_at)", Index, "there is no index on all"),
    ("DROP INDEX t_expires_idx; CREATE INDEX t_expires_idx ON t (expires_at) WHERE attempt > 1", Index, "on all of"),
    ("CREATE UNIQUE INDEX other ON t (key)", Interference, "is unique"),
    ("CREATE TRIGGER audit BEFORE INSERT ON t BEGIN SELECT 1; END", Interference, "the trigger"),
    ("ALTER TABLE t ADD x TEXT REFERENCES t", Interference, "refers to the table"),
    ("{create}: STRICT| WITHOUT ROWID, STRICT", Storage, "cannot be swept"),
    ("{create}: STRICT|", Storage, "not STRICT"),
    ("{create}:key TEXT NOT NULL|key TEXT NOT NULL COLLATE NOCASE", Key, "different keys are equal"),
    ("{create}:PRIMARY KEY (principal_fingerprint, key)|PRIMARY KEY (key)", Key, "the primary key is over key"),
    ("{create}:,\n    PRIMARY KEY (principal_fingerprint, key)|", Key, "there is no primary key"),
    ("{create}:response_status INTEGER|response_status INTEGER NOT NULL", Nullability, "response_status is NOT NULL"),
    ("{create}:expires_at INTEGER NOT NULL|expires_at INTEGER", Nullability, "expires_at can be NULL"),
    ("{create}:* 1000|* 1", Default, "created_at defaults to"),
    ("{create}:reservation_id BLOB|reservation_id TEXT", Type, "reservation_id is TEXT"),
];

#[tokio::test]
async fn every_drift_of_an_sqlite_table_is_found() {
    let name = || TableName::new(None, "t").unwrap();
    let ddl = Layout::new(name()).ddl(Dialect::Sqlite, IDEMPOTENCY.latest()).unwrap();
    for (done, kind, says) in SQLITE {
        let (_folder, pool, store) = sqlite(name()).await;
        if let Some((from, to)) = done.strip_prefix("{create}:").and_then(|change| change.split_once('|')) {
            let changed = ddl.replace(from, to);
            assert_ne!(changed, ddl, "{done}");
            run_sqlite(&pool, &changed).await;
        } else {
            run_sqlite(&pool, &ddl).await;
            run_sqlite(&pool, done).await;
        }
        let report = store.check().await.unwrap();
        let found = report.findings().iter().any(|finding| finding.kind == *kind && finding.text.contains(says));
        assert!(found, "{done}\n{report}");
    }
}

#[tokio::test]
async fn a_sound_sqlite_table_has_no_drift() {
    for (made, then) in [
        ("", ""),
        ("version 1", ""),
        ("", "CREATE INDEX other ON cratestack_idempotency (created_at)"),
        ("", "CREATE TABLE other (a INT CHECK (a > 0))"),
        ("", "ALTER TABLE cratestack_idempotency DROP attempt; ALTER TABLE cratestack_idempotency ADD attempt INTEGER"),
    ] {
        let (_folder, pool, store) = sqlite(TableName::default()).await;
        if !made.is_empty() {
            run_sqlite(&pool, &IDEMPOTENCY.ddl(Dialect::Sqlite, 1).unwrap()).await;
            let report = store.check().await.unwrap();
            assert_eq!((report.version(), report.findings().len()), (Some(1), 1), "{report}");
        }
        store.migrate().await.unwrap();
        run_sqlite(&pool, then).await;
        let report = store.check().await.unwrap();
        assert!(report.is_clean(), "{then}\n{report}");
        rows(&pool).await;
    }
}

async fn rows(pool: &SqlitePool) -> i64 {
    sqlx::query_scalar(AssertSqlSafe("SELECT count(*) FROM cratestack_idempotency")).fetch_one(pool).await.unwrap()
}
