//! A real Postgres for every test: one server per test process, a fresh database per call.
//!
//! ```no_run
//! # async fn example() {
//! use cratestack_tests::TestDatabase;
//!
//! let database = TestDatabase::create().await;
//! println!("{}", database.url());
//! # }
//! ```
//!
//! `TEST_DATABASE_URL` names a server to use instead of a private one; its role must be able to create databases.
//! [`PostgresServer`] is for the tests that stop a server or read its log, and is always a private one.
//! [`RoundTrips`] counts what crosses the wire, and [`Commits`] loses some of it.

mod binaries;
mod commits;
mod server;
mod standby;
mod wire;

use std::{
    env, process,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

pub(crate) use self::wire::{address, replace_address, with_port, without_encryption};
pub use self::{
    commits::{Commits, Fate},
    server::{PostgresOptions, PostgresServer, Statement},
    standby::Standby,
    wire::RoundTrips,
};

/// An empty database of its own, dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    admin_url: String,
    name: String,
    url: String,
}

impl TestDatabase {
    /// On the server of `TEST_DATABASE_URL`, or on the private one of this process, started by the first call.
    ///
    /// # Panics
    /// When there is no Postgres to be had; the message names the command that brings one.
    pub async fn create() -> Self {
        Self::create_at(&admin_url().await).await
    }

    /// On a server that the test owns.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn create_on(server: &PostgresServer) -> Self {
        Self::create_at(&server.url()).await
    }

    /// On the server that this role of it may create databases on.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn create_at(admin_url: &str) -> Self {
        let name = unique_name();
        // `template1` cannot be copied while anybody is connected to it; nobody can connect to `template0`.
        execute(admin_url, format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await
            .unwrap_or_else(|error| panic!("cannot create a database at {}: {error}", without_password(admin_url)));
        Self { url: with_database(admin_url, &name), name, admin_url: admin_url.to_owned() }
    }

    /// Where the database is, as `postgres://…`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, sql) = (self.admin_url.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // A thread, as the test's own runtime cannot be blocked on from inside. Best effort: the server may be gone.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(execute(&url, sql)).map_err(std::io::Error::other)
        });
        let _ = dropped.join();
    }
}

async fn execute(url: &str, sql: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

async fn admin_url() -> String {
    static PRIVATE: OnceLock<PostgresServer> = OnceLock::new();
    match env::var("TEST_DATABASE_URL") {
        Ok(url) if !url.is_empty() => url,
        _ => tokio::task::spawn_blocking(|| PRIVATE.get_or_init(|| PostgresOptions::new().start_blocking()).url())
            .await
            .unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic())),
    }
}

/// Unique on a server that several processes, or several machines, share.
fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("cratestack_test_{}_{}_{}", process::id(), nanos, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The same URL with another database: everything else that it says must stay.
fn with_database(url: &str, name: &str) -> String {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (url, String::new()),
    };
    let authority = address.find("://").map_or(0, |scheme| scheme + 3);
    let end = address[authority..].find('/').map_or(address.len(), |slash| authority + slash);
    format!("{}/{name}{query}", &address[..end])
}

fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) => format!("{}{}", &url[..scheme + 3], &url[at + 1..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_a_url_changes() {
        assert_eq!(with_database("postgres://u:p@h:1/a?x=/y", "b"), "postgres://u:p@h:1/b?x=/y");
        assert_eq!(with_database("postgres://h", "b"), "postgres://h/b");
        assert_eq!(with_database("postgres://h?x=1", "b"), "postgres://h/b?x=1");
    }

    #[test]
    fn a_shown_url_has_no_password() {
        assert_eq!(without_password("postgres://u:p@h:1/a"), "postgres://h:1/a");
        assert_eq!(without_password("postgres://h/a"), "postgres://h/a");
    }

    #[tokio::test]
    async fn databases_are_apart_and_leave_nothing() {
        let (one, other) = (TestDatabase::create().await, TestDatabase::create().await);
        execute(one.url(), "CREATE TABLE t ()".into()).await.unwrap();
        execute(other.url(), "CREATE TABLE t ()".into()).await.unwrap();

        let url = one.url().to_owned();
        drop(one);
        let gone = execute(&url, "SELECT 1".into()).await.unwrap_err();
        assert!(gone.to_string().contains("does not exist"), "{gone}");
    }
}
