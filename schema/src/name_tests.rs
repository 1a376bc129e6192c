use super::{LONGEST, TableName};
use crate::dialect::Dialect;

fn name(table: &str) -> TableName {
    TableName::new(None, table).unwrap()
}

#[test]
fn what_no_database_takes_is_refused_with_its_reason() {
    for (schema, table, reason) in [
        (None, String::new(), "the table's name is empty"),
        (None, "x".repeat(64), "64 bytes long"),
        (None, "ü".repeat(32), "64 bytes long"),
        (None, "a\0b".to_owned(), "NUL"),
        (Some(""), "t".to_owned(), "the schema's name is empty"),
        (Some("a\0"), "t".to_owned(), "the schema's name contains a NUL"),
    ] {
        let error = TableName::new(schema, &table).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert!(TableName::new(Some(&"s".repeat(63)), &"x".repeat(63)).is_ok());
}

#[test]
fn quotes_cannot_be_left() {
    assert_eq!(name(r#"a"b"#).sql(), r#""a""b""#);
    assert_eq!(name(r#""; DROP TABLE x; --"#).sql(), r#""""; DROP TABLE x; --""#);
    assert_eq!(name("a.b").sql(), r#""a.b""#);
    assert_eq!(name("Upper").sql(), r#""Upper""#);
    assert_eq!(name(r"back\slash'").regclass(), r#"E'"back\\slash''"'"#);
    assert_eq!(name("cratestack_idempotency\"").sql(), "\"cratestack_idempotency\"\"\"");
}

#[test]
fn a_flag_s_value_is_no_flag() {
    assert_eq!(name("-- x").flags(), " --table='-- x'");
    assert_eq!(name("-x").flags(), " --table='-x'");
    assert_eq!(name("keys").flags(), " --table keys");
}

#[test]
fn derived_names_fit_and_differ() {
    assert_eq!(TableName::default().derived("_expires_idx"), "cratestack_idempotency_expires_idx");
    assert_eq!(name(&"x".repeat(51)).derived("_expires_idx").len(), 63);
    let (one, other) = (format!("{}1", "x".repeat(62)), format!("{}2", "x".repeat(62)));
    let derived = [name(&one), name(&other)].map(|name| name.derived("_expires_idx"));
    assert_ne!(derived[0], derived[1]);
    for name in [one, other, "ü".repeat(31), "😀".repeat(15)] {
        let derived = TableName::new(None, &name).unwrap().derived("_expires_idx");
        assert!(derived.len() <= LONGEST && derived.ends_with("_expires_idx"), "{derived}");
    }
}

#[test]
fn a_database_s_own_names_are_its_own() {
    assert!(name("sqlite_x").check(Dialect::Sqlite).is_err());
    assert!(name("sqlitex").check(Dialect::Sqlite).is_ok());
    let temporary = TableName::new(Some("pg_temp"), "t").unwrap();
    assert!(temporary.check(Dialect::Postgres).unwrap_err().is_schema() && temporary.check(Dialect::Sqlite).is_ok());
    // A boundary within a character must not panic.
    assert!(name("sqlite😀").check(Dialect::Sqlite).is_ok());
}
