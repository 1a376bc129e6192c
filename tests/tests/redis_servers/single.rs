use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use cratestack_tests::{Proxy, RedisOptions, RedisServer, TestRedis, Way, redis::Fsync};
use redis::AsyncCommands as _;
use tokio::time::timeout;

#[tokio::test]
async fn tests_share_a_server_and_no_key() {
    let (one, other) = (TestRedis::connect().await, TestRedis::connect().await);
    assert_eq!(one.url(), other.url());
    assert_ne!(one.prefix(), other.prefix());
    let client = redis::Client::open(one.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    connection.set::<_, _, ()>(one.prefix(), 7).await.unwrap();
    assert_eq!(connection.get::<_, Option<i32>>(one.prefix()).await.unwrap(), Some(7));
    assert_eq!(connection.get::<_, Option<i32>>(other.prefix()).await.unwrap(), None);
    connection.del::<_, ()>(one.prefix()).await.unwrap();
}

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port_with_what_its_file_has() {
    let server = RedisOptions::new().append_only(Fsync::Everysec).start().await;
    let url = server.url();
    server.tell::<()>("SET kept 7").await;
    server.kill().await;
    assert!(server.ask::<()>("PING").await.is_err());
    server.start().await;
    assert_eq!(server.url(), url);
    assert_eq!(server.tell::<i32>("GET kept").await, 7);
    assert!(server.log().matches("Ready to accept connections").count() == 2, "{}", server.log());
}

#[tokio::test]
async fn a_server_without_a_file_forgets() {
    let server = RedisServer::launch().await;
    server.tell::<()>("SET lost 7").await;
    server.kill().await;
    server.start().await;
    assert_eq!(server.tell::<Option<i32>>("GET lost").await, None);
}

#[tokio::test]
async fn a_frozen_server_answers_when_it_has_thawed_and_ends_also_when_frozen() {
    let server = RedisServer::launch().await;
    let mut connection = server.connect().await.unwrap();
    server.freeze().await;
    let asking = tokio::spawn(async move { connection.incr::<_, _, i32>("n", 1).await });
    tokio::pin!(asking);
    assert!(timeout(Duration::from_millis(100), &mut asking).await.is_err());
    server.thaw().await;
    assert_eq!(asking.await.unwrap().unwrap(), 1);

    let directory = server.directory().to_owned();
    assert!(directory.join("data").is_dir());
    server.freeze().await;
    drop(server);
    assert!(!directory.exists());
}

#[tokio::test]
async fn options_reach_the_server() {
    let options = RedisOptions::new().password("secret").set("maxmemory", "64mb").set("maxmemory-policy", "noeviction");
    let server = options.set("user", "alice on >word ~app:* +get").start().await;
    let policy: Vec<String> = server.tell("CONFIG GET maxmemory").await;
    assert_eq!(policy, ["maxmemory", "67108864"]);
    assert!(server.version().await.split('.').count() >= 3);

    let open = async |user: &str| {
        let client = redis::Client::open(format!("redis://{user}127.0.0.1:{}", server.port())).unwrap();
        client.get_multiplexed_async_connection().await
    };
    let mut nobody = open("").await.unwrap();
    assert_eq!(nobody.get::<_, String>("app:1").await.unwrap_err().code(), Some("NOAUTH"));
    let mut alice = open("alice:word@").await.unwrap();
    assert_eq!(alice.get::<_, Option<String>>("app:1").await.unwrap(), None);
    assert_eq!(alice.get::<_, String>("other:1").await.unwrap_err().code(), Some("NOPERM"));
}

#[tokio::test]
async fn the_way_to_a_server_can_be_cut() {
    let server = RedisOptions::new().password("secret").start().await;
    let proxy = Proxy::before(&server.url()).await;
    let client = redis::Client::open(proxy.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    connection.set::<_, _, ()>("kept", 7).await.unwrap();
    proxy.set(Way::Cut);
    assert!(connection.get::<_, i32>("kept").await.is_err());
    assert!(client.get_multiplexed_async_connection().await.is_err());
    assert_eq!((server.calls("set").await, server.calls("get").await), (1, 0));
}

#[tokio::test]
async fn a_failed_start_shows_the_log() {
    let failed = tokio::spawn(RedisOptions::new().set("no-such-setting", "1").start()).await.unwrap_err();
    let message = failed.into_panic().downcast::<String>().unwrap();
    assert!(message.contains("no-such-setting"), "{message}");
}

const HELD: &str = "CRATESTACK_TEST_HOLDS_A_REDIS";

/// Not a test of its own: the process that the next one kills.
#[tokio::test]
async fn holds_a_server() {
    if env::var_os(HELD).is_none() {
        return;
    }
    let server = RedisServer::launch().await;
    println!("\nheld {} {}", server.port(), server.directory().display());
    tokio::time::sleep(Duration::from_mins(1)).await;
}

#[test]
fn nothing_is_left_of_a_killed_process() {
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["--exact", "single::holds_a_server", "--nocapture"])
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
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port.parse::<u16>().unwrap())).is_ok();
    assert!(Path::new(directory).is_dir() && listens());

    holder.kill().unwrap();
    holder.wait().unwrap();
    let gone = (0..400).any(|_| {
        thread::sleep(Duration::from_millis(50));
        !Path::new(directory).exists() && !listens()
    });
    assert!(gone, "{held} is still there");
}
