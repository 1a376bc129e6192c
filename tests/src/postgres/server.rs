//! A private server: started in a directory of its own, gone without a trace when the process that started it is.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::binaries;
use crate::keeper::Keeper;

const KEEPER: &str = include_str!("keeper.sh");

/// How a [`PostgresServer`] is set up.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    durable: bool,
    log_statements: bool,
    settings: Vec<String>,
}

impl PostgresOptions {
    /// Fast, and quiet in its log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes reach the disk as they would in production, at a tenth of the speed. Without this, what is committed
    /// still survives the end of the server, however sudden, but not that of the machine.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Logs every statement, for [`PostgresServer::statements`].
    #[must_use]
    pub fn log_statements(mut self) -> Self {
        self.log_statements = true;
        self
    }

    /// Any other setting of `postgresql.conf`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("{name}={value}"));
        self
    }

    /// Starts the server.
    ///
    /// # Panics
    /// When it cannot be started; the message ends with the server's log.
    pub async fn start(self) -> PostgresServer {
        blocking(move || self.start_blocking()).await
    }

    pub(super) fn start_blocking(self) -> PostgresServer {
        let mut keeper = Keeper::spawn(KEEPER, &binaries::find(), &self.arguments());
        // The port is free when it is picked and may be taken when the server binds it.
        for _ in 0..10 {
            let port = free_port();
            if keeper.start(port) {
                return PostgresServer { port, keeper: Arc::new(Mutex::new(keeper)) };
            }
            if !keeper.port_was_taken() {
                break;
            }
        }
        panic!("the private Postgres server did not start:\n{}", keeper.log_tail());
    }

    fn arguments(&self) -> Vec<String> {
        let mut settings = vec![
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            "shared_buffers=64MB",
            "lc_messages=C",
            "log_timezone=UTC",
            "log_line_prefix=%m [%p] %q<%d|%a> ",
        ];
        if !self.durable {
            // `synchronous_commit` stays on: without it a stopped server would forget what it had committed.
            settings.extend(["fsync=off", "full_page_writes=off"]);
        }
        if self.log_statements {
            settings.push("log_statement=all");
        }
        let settings = settings.into_iter().map(str::to_owned).chain(self.settings.iter().cloned());
        settings.flat_map(|setting| ["-c".to_owned(), setting]).collect()
    }
}

/// A Postgres server that one test owns, on 127.0.0.1 with a port of its own.
///
/// It ends, and its directory goes, when the value is dropped or the process ends in any way.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    keeper: Arc<Mutex<Keeper>>,
}

impl PostgresServer {
    /// A server with the default options.
    ///
    /// # Panics
    /// When it cannot be started; the message ends with the server's log.
    pub async fn launch() -> Self {
        PostgresOptions::new().start().await
    }

    /// Its database `postgres`, as the superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Its port, the same for its whole life.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts it off as a crash would: no goodbye to its clients, recovery at the next start.
    ///
    /// # Panics
    /// When the server's keeper is gone.
    pub async fn stop_immediate(&self) {
        self.with_keeper(|keeper| assert_eq!(keeper.ask("stop"), "stopped")).await;
    }

    /// Kills its main process with SIGKILL, and leaves its sessions to find out.
    ///
    /// # Panics
    /// When the server's keeper is gone.
    pub async fn kill(&self) {
        self.with_keeper(|keeper| assert_eq!(keeper.ask("kill"), "stopped")).await;
    }

    /// Kills it and all its sessions with SIGKILL at once: what it had in memory only is lost.
    ///
    /// # Panics
    /// When the server's keeper is gone.
    pub async fn crash(&self) {
        self.with_keeper(|keeper| assert_eq!(keeper.ask("crash"), "stopped")).await;
    }

    /// Stops it and all its sessions where they are, as a machine that stalls would.
    ///
    /// # Panics
    /// When the server's keeper is gone.
    pub async fn freeze(&self) {
        self.with_keeper(|keeper| assert_eq!(keeper.ask("freeze"), "frozen")).await;
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    ///
    /// # Panics
    /// When the server's keeper is gone.
    pub async fn thaw(&self) {
        self.with_keeper(|keeper| assert_eq!(keeper.ask("thaw"), "thawed")).await;
    }

    /// Starts it again, on the same port and data.
    ///
    /// # Panics
    /// When it does not come back; the message ends with the server's log.
    pub async fn start(&self) {
        let port = self.port;
        self.with_keeper(move |keeper| {
            // While the server was away, an outgoing connection may have been given its port for a moment.
            for _ in 0..100 {
                if keeper.start(port) {
                    return;
                }
                if !keeper.port_was_taken() && !keeper.sessions_outlive_their_server() {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
            panic!("the private Postgres server did not come back:\n{}", keeper.log_tail());
        })
        .await;
    }

    /// Every statement that the server executed so far, in order. Needs [`PostgresOptions::log_statements`].
    ///
    /// A statement is logged before it runs, so the ones that a client has an answer to are all there. What is a
    /// message of the protocol and not a statement (a pool's ping) is not: [`RoundTrips`](super::RoundTrips) has those.
    pub fn statements(&self) -> Vec<Statement> {
        parse_statements(&self.log())
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        lock(&self.keeper).log()
    }

    async fn with_keeper<T: Send + 'static>(&self, work: impl FnOnce(&mut Keeper) -> T + Send + 'static) -> T {
        let keeper = Arc::clone(&self.keeper);
        blocking(move || work(&mut lock(&keeper))).await
    }
}

/// A statement in the server's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The database that it ran in.
    pub database: String,
    /// The `application_name` of the connection; empty when it gave none.
    pub application: String,
    /// The text, on one line or several as it was sent.
    pub text: String,
}

fn parse_statements(log: &str) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    let mut continues = false;
    for line in log.lines() {
        if let Some(rest) = line.strip_prefix('\t') {
            if let (true, Some(last)) = (continues, statements.last_mut()) {
                last.text.push('\n');
                last.text.push_str(rest);
            }
            continue;
        }
        let parsed = parse_statement(line);
        continues = parsed.is_some();
        statements.extend(parsed);
    }
    statements
}

fn parse_statement(line: &str) -> Option<Statement> {
    let (origin, message) = line.split_once("> LOG:  ")?;
    let (database, application) = origin.split_once('<')?.1.split_once('|')?;
    let text = match message.strip_prefix("execute ") {
        Some(execution) => execution.split_once(": ")?.1,
        None => message.strip_prefix("statement: ")?,
    };
    Some(Statement { database: database.to_owned(), application: application.to_owned(), text: text.to_owned() })
}

impl Keeper {
    fn start(&mut self, port: u16) -> bool {
        self.ask(&format!("start {port}")) == "ready"
    }

    fn port_was_taken(&self) -> bool {
        self.log_tail().contains("Address already in use")
    }

    fn sessions_outlive_their_server(&self) -> bool {
        self.log_tail().contains("is still in use")
    }
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn lock(keeper: &Mutex<Keeper>) -> std::sync::MutexGuard<'_, Keeper> {
    // A panic of one test says nothing about the keeper.
    keeper.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        io::{BufRead as _, BufReader},
        path::Path,
        process::{Command, Stdio},
        time::Instant,
    };

    use sqlx::{Connection, PgConnection};

    use super::*;

    #[tokio::test]
    async fn commits_survive_a_stop_and_a_start() {
        let server = PostgresServer::launch().await;
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        sqlx::raw_sql("CREATE TABLE kept AS SELECT 7 AS n").execute(&mut connection).await.unwrap();

        server.stop_immediate().await;
        assert!(PgConnection::connect(&server.url()).await.is_err());

        server.start().await;
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        let (n,): (i32,) = sqlx::query_as("SELECT n FROM kept").fetch_one(&mut connection).await.unwrap();
        assert_eq!(n, 7);
    }

    #[tokio::test]
    async fn commits_survive_a_kill_and_no_two_servers_share_their_data() {
        let server = PostgresServer::launch().await;
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        sqlx::raw_sql("CREATE TABLE kept (n INT)").execute(&mut connection).await.unwrap();
        // A session that has a statement to end does so, though its server is gone.
        let insert = "DO $$ BEGIN PERFORM pg_sleep(1); INSERT INTO kept VALUES (7); END $$";
        let ending = tokio::spawn(async move { sqlx::raw_sql(insert).execute(&mut connection).await });
        let mut other = PgConnection::connect(&server.url()).await.unwrap();
        let sleeping = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while sqlx::query_scalar::<_, i64>(sleeping).fetch_one(&mut other).await.unwrap() == 0 {}

        server.kill().await;
        assert!(PgConnection::connect(&server.url()).await.is_err());

        server.start().await;
        assert!(ending.is_finished(), "the session has ended before there is another server");
        let answered = ending.await.unwrap().is_ok();
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM kept").fetch_one(&mut connection).await.unwrap();
        assert!(count == 1 || !answered, "{count}, {answered}");
    }

    #[tokio::test]
    async fn a_frozen_server_answers_when_it_has_thawed_and_ends_also_when_frozen() {
        let server = PostgresServer::launch().await;
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        server.freeze().await;
        let asking = tokio::spawn(async move { sqlx::raw_sql("SELECT 1").execute(&mut connection).await.is_ok() });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!asking.is_finished());
        server.thaw().await;
        assert!(asking.await.unwrap());
        server.freeze().await;
    }

    #[tokio::test]
    async fn a_crash_loses_what_was_not_written() {
        let options = PostgresOptions::new().set("synchronous_commit", "off").set("wal_writer_delay", "10s");
        let server = options.set("wal_writer_flush_after", "1GB").start().await;
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        sqlx::raw_sql("CREATE TABLE kept (n INT)").execute(&mut connection).await.unwrap();
        sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await.unwrap();
        sqlx::raw_sql("INSERT INTO kept VALUES (7)").execute(&mut connection).await.unwrap();
        server.crash().await;
        server.start().await;
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM kept").fetch_one(&mut connection).await.unwrap();
        assert_eq!(count, 0);
    }

    #[tokio::test]
    async fn statements_are_seen_whole_and_by_their_application() {
        let server = PostgresOptions::new().log_statements().start().await;
        let url = format!("{}?application_name=counted", server.url());
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let before = server.statements().len();
        sqlx::query("SELECT $1::int,\n       2").bind(1).fetch_one(&mut connection).await.unwrap();
        sqlx::raw_sql("SELECT 3").execute(&mut connection).await.unwrap();

        let seen = server.statements().split_off(before);
        assert!(seen.iter().all(|s| s.database == "postgres" && s.application == "counted"), "{seen:?}");
        let texts: Vec<_> = seen.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts, ["SELECT $1::int,\n       2", "SELECT 3"]);
    }

    #[tokio::test]
    async fn a_failed_start_shows_the_log() {
        let failed = tokio::spawn(PostgresOptions::new().set("no_such_setting", "1").start()).await.unwrap_err();
        let message = failed.into_panic().downcast::<String>().unwrap();
        assert!(message.contains("no_such_setting"), "{message}");
    }

    const HELD: &str = "CRATESTACK_TEST_HOLDS_A_SERVER";

    /// Not a test of its own: the process that the next one kills.
    #[tokio::test]
    async fn holds_a_server() {
        if env::var_os(HELD).is_none() {
            return;
        }
        let server = PostgresServer::launch().await;
        println!("\nheld {} {}", server.port(), lock(&server.keeper).directory.display());
        tokio::time::sleep(Duration::from_mins(1)).await;
    }

    #[test]
    fn nothing_is_left_of_a_killed_process() {
        let mut holder = Command::new(env::current_exe().unwrap())
            .args(["--exact", "postgres::server::tests::holds_a_server", "--nocapture"])
            .env(HELD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let held = BufReader::new(holder.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("held ").map(str::to_owned))
            .unwrap();
        let (port, directory) = held.split_once(' ').unwrap();
        let address = (Ipv4Addr::LOCALHOST, port.parse::<u16>().unwrap());
        assert!(Path::new(directory).is_dir() && std::net::TcpStream::connect(address).is_ok());

        holder.kill().unwrap();
        holder.wait().unwrap();
        let killed = Instant::now();
        while Path::new(directory).exists() || std::net::TcpStream::connect(address).is_ok() {
            assert!(killed.elapsed() < Duration::from_secs(20), "{held} is still there");
            thread::sleep(Duration::from_millis(50));
        }
    }
}
