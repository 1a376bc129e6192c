//! Names are the user's: created, used, checked and swept under any name that a database takes.

use std::time::{Duration, SystemTime};

use cratestack_runtime::{IdempotencyStore, PostgresStore, ReservationOutcome, SqliteStore};
use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::databases::{inspect, inspect_sqlite, named, pool, postgres, run, run_sqlite};

fn hostile() -> Vec<String> {
    let mut names: Vec<String> = [
        "a\"b",
        "\"",
        "\"\"",
        "drop table",
        "x\"; DROP TABLE victim; --",
        "x'; DROP TABLE victim; --",
        "x); DROP TABLE victim; --",
        "\\'; DROP TABLE victim; --",
        "\\",
        "\\000A",
        "'",
        "E'\\''",
        " ",
        " leading",
        "trailing ",
        "a.b",
        "public.keys",
        "$1",
        "?1",
        ":name",
        "%s %I %L",
        "{table}",
        "${user}",
        "--",
        "/* */",
        "new\nline",
        "a\n-- migrate:down\nDROP TABLE victim;",
        "tab\tbell\u{7}",
        "U&\"x\"",
        "user",
        "select",
        "table",
        "order",
        "Payments",
        "payments2",
        "1st",
        "_",
        "schlüssel",
        "ключи",
        "鍵",
        "🔑🔑",
        "a\u{301}",
        "\u{202e}txet",
        "pg_keys",
    ]
    .map(str::to_owned)
    .to_vec();
    // 63 bytes, the longest: what is derived from them must be shorter and still apart.
    names.push("x".repeat(63));
    names.push(format!("{}y", "x".repeat(62)));
    names.push("x".repeat(52));
    names.push("é".repeat(31));
    names.push("鍵".repeat(21));
    names
}

async fn lives(store: &impl IdempotencyStore, name: &str) {
    let tomorrow = SystemTime::now() + Duration::from_hours(24);
    let ReservationOutcome::Reserved { token } = store.reserve_or_fetch("p", name, [7; 32], tomorrow).await.unwrap()
    else {
        panic!("{name:?}")
    };
    let again = store.reserve_or_fetch("p", name, [7; 32], tomorrow).await.unwrap();
    assert_eq!(again, ReservationOutcome::InFlight, "{name:?}");
    store.complete("p", name, token, 201, &[], name.as_bytes()).await.unwrap();
    let again = store.reserve_or_fetch("p", name, [7; 32], tomorrow).await.unwrap();
    assert!(matches!(again, ReservationOutcome::Replay(record) if record.response_body == name.as_bytes()), "{name:?}");
    let ReservationOutcome::Reserved { token } = store.reserve_or_fetch("p", "short", [7; 32], tomorrow).await.unwrap()
    else {
        panic!("{name:?}")
    };
    store.release("p", "short", token).await.unwrap();
    store.reserve_or_fetch("p", "short", [7; 32], SystemTime::now()).await.unwrap();
    assert_eq!(store.sweep(10).await, Ok(1), "{name:?}");
}

#[tokio::test]
async fn any_name_that_postgres_takes() {
    let (database, mut connection) = postgres().await;
    run(&mut connection, "CREATE TABLE victim (id INT)").await;
    let pool = pool(&database, 4).await;
    let names = hostile();
    for (n, name) in names.iter().enumerate() {
        let table = TableName::new(None, name).unwrap();
        let store = PostgresStore::with_table(pool.clone(), table.clone());
        store.migrate().await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        lives(&store, name).await;
        assert!(store.check().await.unwrap().is_ok(), "{name:?}");
        // The text for the command line does the same, and does it again.
        let table = IDEMPOTENCY.named(table);
        run(&mut connection, &table.ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap()).await;
        let numbers = inspect(&mut connection, &table).await.statistics();
        sqlx::query(AssertSqlSafe(numbers)).fetch_one(&mut connection).await.unwrap();
        // And every other one in a schema of such a name; `pg_` is Postgres' own.
        if n % 4 == 0 && !name.starts_with("pg_") {
            let store = PostgresStore::with_table(pool.clone(), TableName::new(Some(name), name).unwrap());
            store.migrate().await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
            lives(&store, name).await;
            assert!(store.check().await.unwrap().is_ok(), "{name:?}");
        }
    }
    let kept: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(kept.contains(&"victim".to_owned()));
    assert!(names.iter().all(|name| kept.contains(name)));
    assert_eq!(kept.len(), names.len() + 1, "one table for a name, and no other");
}

#[tokio::test]
async fn any_name_that_sqlite_takes() {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    sqlx::raw_sql("CREATE TABLE victim (id INTEGER); ATTACH ':memory:' AS \"x\"\"; DROP TABLE victim; --\"")
        .execute(&pool)
        .await
        .unwrap();
    let names = hostile();
    for name in &names {
        for schema in [None, Some("main"), Some("x\"; DROP TABLE victim; --")] {
            let store = SqliteStore::with_table(pool.clone(), TableName::new(schema, name).unwrap());
            store.migrate().await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
            if schema != Some("main") {
                lives(&store, name).await;
            }
            let report = store.check().await.unwrap();
            assert!(report.is_ok(), "{report}");
        }
    }
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM main.sqlite_schema WHERE type = 'table'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(usize::try_from(tables).unwrap(), names.len() + 1);
}

/// Which words must be quoted, the servers know best.
#[tokio::test]
async fn every_word_of_either_grammar_is_a_name() {
    let (_database, mut connection) = postgres().await;
    let mut words: Vec<String> =
        sqlx::query_scalar("SELECT word FROM pg_get_keywords()").fetch_all(&mut connection).await.unwrap();
    let sqlite = "abort attach autoincrement cascade conflict current database detach each exclude exclusive explain \
        fail filter first following generated glob groups if ignore immediate index indexed instead key last match \
        materialized no nothing nulls of others over partition plan pragma preceding query raise range recursive regexp \
        reindex release rename replace restrict row rows savepoint temp temporary ties transaction trigger unbounded \
        vacuum view virtual without";
    words.extend(sqlite.split(' ').map(str::to_owned));
    words.sort();
    words.dedup();
    let mut memory = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    for word in &words {
        let mut transaction = connection.begin().await.unwrap();
        let table = named(Some(word), word);
        run(
            &mut transaction,
            &format!("CREATE SCHEMA {}", table.name().sql(Dialect::Postgres).split('.').next().unwrap()),
        )
        .await;
        for table in [named(None, word), table] {
            run(&mut transaction, &table.ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap()).await;
            run(&mut transaction, &table.sweep(Dialect::Postgres).replace("$1", "1")).await;
            assert!(inspect(&mut transaction, &table).await.report().is_ok(), "{word}");
        }
        transaction.rollback().await.unwrap();
        let table = named(None, word);
        run_sqlite(&mut memory, &table.ddl(Dialect::Sqlite, IDEMPOTENCY.latest()).unwrap()).await;
        run_sqlite(&mut memory, &table.sweep(Dialect::Sqlite).replace("?1", "1")).await;
        assert!(inspect_sqlite(&mut memory, &table).await.report().is_ok(), "{word}");
    }
    println!("{} words", words.len());
}

#[test]
fn names_that_no_database_keeps_are_refused_with_a_reason() {
    for (name, reason) in [
        (String::new(), "the table's name is empty"),
        ("a\0b".to_owned(), "the table's name contains a NUL character, which no database takes"),
        ("x".repeat(64), "the table's name has 64 bytes; Postgres would cut it to 63"),
        ("é".repeat(32), "the table's name has 64 bytes; Postgres would cut it to 63"),
        ("sqlite_keys".to_owned(), "the table's name begins with sqlite_, which SQLite reserves for itself"),
    ] {
        assert_eq!(TableName::new(None, &name).unwrap_err().to_string(), reason);
    }
}
