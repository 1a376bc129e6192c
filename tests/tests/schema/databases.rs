//! Databases for the tests of this binary, and what they say of the table.

use cratestack_schema::{Dialect, IDEMPOTENCY, INSPECTION_COLUMNS, Inspection, NamedTable, TableName};
use cratestack_tests::TestDatabase;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row, SqliteConnection};

pub fn default_table() -> NamedTable {
    IDEMPOTENCY.named(TableName::default())
}

pub fn named(schema: Option<&str>, table: &str) -> NamedTable {
    IDEMPOTENCY.named(TableName::new(schema, table).unwrap())
}

pub async fn postgres() -> (TestDatabase, PgConnection) {
    let database = TestDatabase::create().await;
    let connection = PgConnection::connect(database.url()).await.unwrap();
    (database, connection)
}

pub async fn pool(database: &TestDatabase, connections: u32) -> PgPool {
    PgPoolOptions::new().max_connections(connections).connect(database.url()).await.unwrap()
}

pub async fn run(connection: &mut PgConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
}

pub async fn inspect(connection: &mut PgConnection, table: &NamedTable) -> Inspection {
    let query = AssertSqlSafe(table.inspection(Dialect::Postgres));
    let rows = sqlx::query(query).persistent(false).fetch_all(connection).await.unwrap();
    table.inspect(Dialect::Postgres, rows.iter().map(|row| std::array::from_fn(|index| row.get(index))))
}

pub async fn run_sqlite(connection: &mut SqliteConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
}

pub async fn inspect_sqlite(connection: &mut SqliteConnection, table: &NamedTable) -> Inspection {
    let query = AssertSqlSafe(table.inspection(Dialect::Sqlite));
    let rows = sqlx::query(query).persistent(false).fetch_all(connection).await.unwrap();
    let rows: Vec<[Option<String>; INSPECTION_COLUMNS]> =
        rows.iter().map(|row| std::array::from_fn(|index| row.get(index))).collect();
    table.inspect(Dialect::Sqlite, rows)
}
