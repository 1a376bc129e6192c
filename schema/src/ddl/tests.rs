use super::{Layout, POSTGRES_DDL};
use crate::dialect::Dialect;
use crate::name::TableName;
use crate::table::IDEMPOTENCY;

// Rows of this shape are out there: the text must not move by a byte.
const VERSION_1: &str = "\
CREATE TABLE IF NOT EXISTS cratestack_idempotency (
    principal_fingerprint TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BYTEA NOT NULL,
    reservation_id UUID NOT NULL,
    response_status INT,
    response_headers BYTEA,
    response_body BYTEA,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (principal_fingerprint, key)
);

CREATE INDEX IF NOT EXISTS cratestack_idempotency_expires_idx
    ON cratestack_idempotency (expires_at);
";

#[test]
fn version_1_is_byte_for_byte_what_was_published() {
    assert_eq!(IDEMPOTENCY.ddl(Dialect::Postgres, 1).unwrap(), VERSION_1);
}

#[test]
fn the_literal_is_the_rendering() {
    assert_eq!(IDEMPOTENCY.ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap(), POSTGRES_DDL);
}

#[test]
fn every_postgres_version_starts_with_the_one_before() {
    for version in 2..=IDEMPOTENCY.latest() {
        let before = IDEMPOTENCY.ddl(Dialect::Postgres, version - 1).unwrap();
        let after = IDEMPOTENCY.ddl(Dialect::Postgres, version).unwrap();
        assert!(after.starts_with(&before) && after.len() > before.len());
    }
}

#[test]
fn sqlite_creates_every_version_in_one_statement() {
    let first = IDEMPOTENCY.ddl(Dialect::Sqlite, 1).unwrap();
    let second = IDEMPOTENCY.ddl(Dialect::Sqlite, 2).unwrap();
    let third = IDEMPOTENCY.ddl(Dialect::Sqlite, 3).unwrap();
    assert!(!first.contains("lease_expires_at") && !second.contains("steps"));
    assert!(second.contains("    lease_expires_at INTEGER,\n    attempt INTEGER,\n    PRIMARY KEY"));
    assert!(third.contains("    attempt INTEGER,\n    steps BLOB,\n    steps_token BLOB,\n    PRIMARY KEY"));
    for text in [first, second, third] {
        assert_eq!(text.matches("CREATE TABLE").count(), 1);
        assert!(!text.contains("ALTER TABLE"));
        assert!(text.contains(") STRICT;\n\nCREATE INDEX"));
    }
}

#[test]
fn a_column_of_a_later_version_can_be_added_to_rows_that_are_there() {
    for column in IDEMPOTENCY.columns.iter().filter(|column| column.since > 1) {
        assert!(column.nullable, "{} would refuse rows written by an older program", column.name);
    }
}

#[test]
fn later_columns_come_last() {
    assert!(IDEMPOTENCY.columns.is_sorted_by_key(|column| column.since));
}

#[test]
fn versions_that_are_not_there_are_refused() {
    for dialect in Dialect::ALL {
        for version in [0, IDEMPOTENCY.latest() + 1, u32::MAX] {
            assert!(IDEMPOTENCY.ddl(dialect, version).is_err());
            assert!(IDEMPOTENCY.migration(dialect, version).is_err());
        }
    }
}

#[test]
fn the_index_is_named_after_its_table() {
    assert_eq!(Layout::default().index_name(), IDEMPOTENCY.index.name);
}

#[test]
fn a_schema_is_spelled_where_each_database_wants_it() {
    let layout = Layout::new(TableName::new(Some("app"), "keys").unwrap());
    let index = layout.create_index(Dialect::Postgres);
    assert!(index.contains(r#"EXISTS "keys_expires_idx""#) && index.contains(r#"ON "app"."keys" ("#), "{index}");
    let index = layout.create_index(Dialect::Sqlite);
    assert!(index.contains(r#"EXISTS "app"."keys_expires_idx""#) && index.contains(r#"ON "keys" ("#), "{index}");
}

#[test]
fn sqlite_knows_no_partitions() {
    let layout = Layout::default();
    assert_eq!(layout.clone().partitions(8).ddl(Dialect::Sqlite, 1), layout.ddl(Dialect::Sqlite, 1));
}

#[test]
fn a_table_renders_itself() {
    let mut table = IDEMPOTENCY;
    table.name = "keys";
    table.columns = &IDEMPOTENCY.columns[..9];
    assert_eq!(
        table.ddl(Dialect::Postgres, 1).unwrap(),
        VERSION_1
            .replace("cratestack_idempotency_expires_idx", "\"keys_expires_idx\"")
            .replace("cratestack_idempotency", "\"keys\"")
    );
    assert!(table.ddl(Dialect::Postgres, 2).is_err() && table.migration(Dialect::Sqlite, 2).is_err());
}
