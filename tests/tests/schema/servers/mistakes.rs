//! What is said wrongly is told with the flag to mend, and no password is told at all.

use cratestack_tests::{RedisOptions, RedisServer};

use super::{command, with_variables};

#[test]
fn a_mistake_names_its_flag_and_the_way_out() {
    let redis = "redis://localhost:1";
    for (arguments, signs) in [
        (vec!["check"], vec!["--database-url", "--redis-url"]),
        (vec!["stats", "--redis-prefix", "p:"], vec!["--redis-prefix", "--redis-url"]),
        (vec!["check", "--redis-url"], vec!["--redis-url", "REDIS_URL", "redis://localhost:6379"]),
        (vec!["check", "--redis-url", "localhost:6379"], vec!["--redis-url", "redis://", "rediss://"]),
        (vec!["check", "--redis-url", "redis://"], vec!["--redis-url", "host"]),
        (vec!["check", "--redis-url", "redis://h/x"], vec!["--redis-url", "number of a database"]),
        (vec!["check", "--redis-url", "redis://h:1/2,redis://h:2/2"], vec!["--redis-url", "Cluster", "database but 0"]),
        (vec!["check", "--redis-url", redis, "--redis-prefix", "{a}"], vec!["--redis-prefix", "brace"]),
        (vec!["check", "--redis-url", redis, "--redis-prefix", ""], vec!["--redis-prefix", "empty"]),
        (
            vec!["check", "--redis-url", redis, "--database-url", "sqlite:x"],
            vec!["--database-url", "--redis-url", "one of"],
        ),
        (vec!["stats", "--redis-url", redis, "--table", "t"], vec!["--table", "no tables"]),
        (vec!["stats", "--redis-url", redis, "--schema", "s"], vec!["--schema", "no tables"]),
        (vec!["check", "--redis-url", redis, "--dialect", "sqlite"], vec!["--dialect"]),
        (vec!["check", "--database-url", "redis://h"], vec!["--database-url", "--redis-url"]),
        (vec!["sweep", "--redis-url", redis], vec!["--redis-url", "`check` and `stats`", "delete by themselves"]),
        (vec!["show", "--key", "k", "--redis-url", redis], vec!["--redis-url", "Idempotency::show"]),
        (vec!["list", "--redis-url"], vec!["--redis-url", "`check` and `stats`"]),
        (vec!["release", "--key", "k", "--redis-url", redis], vec!["--redis-url", "release"]),
        (vec!["forget", "--key", "k", "--redis-prefix", "p:"], vec!["--redis-url", "forget_record"]),
        (vec!["ddl", "--redis-url", redis], vec!["--redis-url"]),
        (vec!["check", "--redis-url", redis], vec!["--redis-url", "localhost:1", "refused"]),
    ] {
        let done = command(&arguments);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{arguments:?}\n{}", done.stderr);
        for sign in signs {
            assert!(done.stderr.contains(sign), "{arguments:?} does not say {sign}:\n{}", done.stderr);
        }
    }
}

#[test]
fn what_the_environment_says_of_a_database_does_not_stand_in_the_way() {
    let variables = [("DATABASE_URL", "sqlite:/none/none.db"), ("REDIS_URL", "redis://localhost:1")];
    let done = with_variables(&["check", "--redis-url"], &variables);
    assert!(done.code == 2 && done.stderr.contains("--redis-url: localhost:1"), "{}", done.stderr);
    // Without the option it is the database, as ever.
    let done = with_variables(&["check"], &variables);
    assert!(done.code == 2 && done.stderr.contains("--database-url: "), "{}", done.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_told_whatever_goes_wrong() {
    const SECRET: &str = "hunter2";
    let open = RedisServer::launch().await;
    let closed = RedisOptions::new().password("another").start().await;
    let wrong = "the server does not know the user, or the password is another";
    let (open, closed) = (open.port(), closed.port());
    for (url, sign) in [
        (format!("redis://:{SECRET}@127.0.0.1:{closed}"), wrong),
        (format!("redis://ada:{SECRET}@127.0.0.1:{closed}"), wrong),
        (format!("redis://ada:{SECRET}@127.0.0.1:{open}"), wrong),
        (format!("redis://127.0.0.1:{closed}/?x={SECRET}"), "127.0.0.1"),
        (format!("redis://ada:{SECRET}@127.0.0.1:1"), "127.0.0.1:1"),
        (format!("redis://ada:{SECRET}@no-such-host.invalid:6379"), "no-such-host.invalid:6379"),
        (format!("rediss://ada:{SECRET}@127.0.0.1:{open}"), "127.0.0.1"),
        (format!("redis://ada:{SECRET}@127.0.0.1:{open},redis://ada:{SECRET}@127.0.0.1:1"), "127.0.0.1:1"),
        (format!("redis://ada:{SECRET}@127.0.0.1:notaport"), "no URL"),
        (format!("redis://ada:{SECRET}@127.0.0.1/{SECRET}"), "number of a database"),
        (format!("redis://ada:{SECRET}@h/?protocol={SECRET}"), "no URL"),
        (format!("rediss://ada:{SECRET}@h/#{SECRET}"), "#"),
        (format!("http://ada:{SECRET}@h"), "redis://"),
        (format!("redis:ada:{SECRET}@h"), "redis://"),
        // Characters that end what a URL says of its user.
        (format!("redis://ada:12/{SECRET}@127.0.0.1:{open}"), "%2F"),
        (format!("redis://ada:12#{SECRET}@127.0.0.1:{open}"), "%23"),
        (format!("redis://ada:12?{SECRET}@127.0.0.1:{open}"), "%3F"),
        (format!("redis://ada:{SECRET}@{SECRET}@127.0.0.1:{open}"), "%40"),
        (format!("unix:///none/none.sock?user=ada&pass={SECRET}"), ""),
    ] {
        for command in ["check", "stats"] {
            for (arguments, variables) in [
                (vec![command, "--redis-url", &url], vec![]),
                (vec![command, "--json", "--redis-url"], vec![("REDIS_URL", url.as_str())]),
            ] {
                let done = with_variables(&arguments, &variables);
                let told = format!("{}{}", done.stdout, done.stderr);
                assert!(!told.contains(SECRET), "{command} {url}: {told}");
                assert!(done.code != 0 && told.contains(sign), "{command} {url}: {told}");
            }
        }
    }
}
