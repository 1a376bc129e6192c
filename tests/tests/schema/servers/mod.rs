//! The command, asked about servers of Valkey and Redis.

mod mistakes;
mod page;
mod report;
mod rights;
mod stats;

use std::process::Command;

use cratestack_tests::RedisServer;
use serde_json::Value;

use crate::command::{Done, executable};

/// Runs the command, with these variables and nothing else of this process's environment that it listens to.
fn with_variables(arguments: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = Command::new(executable());
    command.args(arguments).env_remove("DATABASE_URL").env_remove("REDIS_URL");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn command(arguments: &[&str]) -> Done {
    with_variables(arguments, &[])
}

/// What `check` says of a server, and its exit code.
fn check(url: &str) -> (i32, Value) {
    check_with(&["--redis-url", url])
}

fn check_with(arguments: &[&str]) -> (i32, Value) {
    let done = command(&[&["check", "--json"], arguments].concat());
    let json =
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", done.stdout, done.stderr));
    (done.code, json)
}

/// The kinds of what must be mended.
fn to_mend(json: &Value) -> Vec<&str> {
    let findings = json["findings"].as_array().unwrap().iter();
    findings.filter(|finding| finding["must_mend"] == true).map(|finding| finding["kind"].as_str().unwrap()).collect()
}

/// The lines that mend what was found, of one kind.
fn remedies<'a>(json: &'a Value, kind: &str) -> Vec<&'a str> {
    let findings = json["findings"].as_array().unwrap().iter();
    findings.filter(|finding| finding["kind"] == kind).filter_map(|finding| finding["remedy"].as_str()).collect()
}

/// The URL of a server, for another user.
fn url_of(server: &RedisServer, user: &str, password: &str) -> String {
    format!("redis://{user}:{password}@127.0.0.1:{}", server.port())
}
