use std::process::ExitCode;
use std::time::Instant;

use cratestack_schema::redis::{KeyPrefix, fields};
use redis::{RedisError, Value};

use super::arguments::Servers;
use super::connection::{Node, text};
use super::counts::{Counts, Seen};
use crate::output::{Failure, print};

/// How many keys the server looks at in one go, during which it does nothing else: well under a millisecond.
const PAGE: &str = "500";
/// Of how many records the server is asked what one takes.
const SAMPLE_EVERY: usize = 50;

/// Counts the records: each key of the servers is looked at once.
pub async fn stats(servers: &Servers, as_json: bool) -> Result<ExitCode, Failure> {
    let prefix = servers.prefix()?;
    let mut connected = servers.connect().await?;
    let started = Instant::now();
    let mut counts = Counts::default();
    let mut each = Vec::new();
    for node in &mut connected.nodes {
        let before = counts.records;
        scan(node, &prefix, &mut counts).await?;
        each.push((node.address(), counts.records - before));
    }
    let taken = started.elapsed();
    if as_json {
        print(&format!("{}\n", counts.json(&each, taken.as_millis())))?;
    } else {
        let mut text = counts.lines();
        if let [_, _, ..] = each[..] {
            let of_each = each.iter().map(|(address, records)| format!("  {records:>12} on {address}\n"));
            text.extend(of_each);
        }
        print(&text)?;
        eprintln!("looked at in {:.1} s, resting as long as the servers worked", taken.as_secs_f64());
    }
    Ok(ExitCode::SUCCESS)
}

/// Goes through all keys of a server, a page at a time. What comes or goes meanwhile may be counted or not, and while the
/// server changes its table of keys for a larger one, a record may be counted twice.
async fn scan(node: &mut Node, prefix: &KeyPrefix, counts: &mut Counts) -> Result<(), Failure> {
    let mut cursor = "0".to_owned();
    loop {
        let asked = Instant::now();
        let mut pipeline = redis::pipe();
        pipeline.cmd("SCAN").arg(&cursor).arg("MATCH").arg(prefix.pattern()).arg("COUNT").arg(PAGE);
        let mut answers = node.ask_all(&mut pipeline).await?.into_iter();
        let page = match answers.next() {
            Some(Ok(Value::Array(page))) => page,
            Some(Err(error)) => return Err(node.failure(&error)),
            _ => return Err(unexpected(node, "SCAN")),
        };
        let [next, Value::Array(names)] = &page[..] else { return Err(unexpected(node, "SCAN")) };
        let names: Vec<&[u8]> = names.iter().filter_map(bytes).filter(|name| prefix.split(name).is_some()).collect();
        look(node, &names, counts).await?;
        cursor = text(next).unwrap_or_default();
        if cursor == "0" || cursor.is_empty() {
            return Ok(());
        }
        // The server's other callers have at least half of its time.
        tokio::time::sleep(asked.elapsed()).await;
    }
}

/// Of the records with these names.
async fn look(node: &mut Node, names: &[&[u8]], counts: &mut Counts) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("TIME");
    for name in names {
        let wanted = [fields::ATTEMPT, fields::CREATED, fields::LEASE, fields::EXPIRES, fields::STATUS];
        pipeline.cmd("HMGET").arg(name).arg(&wanted);
        pipeline.cmd("HSTRLEN").arg(name).arg(fields::HEADERS);
        pipeline.cmd("HSTRLEN").arg(name).arg(fields::BODY);
    }
    for name in names.iter().step_by(SAMPLE_EVERY) {
        pipeline.cmd("MEMORY").arg("USAGE").arg(name);
    }
    let mut answers = node.ask_all(&mut pipeline).await?.into_iter();
    let now = match answers.next() {
        Some(Ok(Value::Array(parts))) => number(parts.first()).zip(number(parts.get(1))),
        Some(Err(error)) => return Err(node.failure(&error)),
        _ => None,
    };
    let Some((seconds, micros)) = now else { return Err(unexpected(node, "TIME")) };
    let now = seconds * 1_000 + micros / 1_000;
    for _ in names {
        let (fields, headers, body) = (answers.next(), answers.next(), answers.next());
        match fields {
            Some(Ok(Value::Array(fields))) => match seen(&fields, &[headers, body]) {
                Some(seen) => counts.add(&seen, now),
                // It has gone meanwhile, or is somebody else's hash.
                None if fields.iter().all(|field| *field == Value::Nil) => {}
                None => counts.foreign += 1,
            },
            Some(Err(error)) if error.code() == Some("WRONGTYPE") => counts.foreign += 1,
            Some(Err(error)) => return Err(node.failure(&error)),
            _ => return Err(unexpected(node, "HMGET")),
        }
    }
    // Where the user may not ask for it, or the server does not know it, all else is told.
    for size in answers.flatten() {
        if let Some(size) = number(Some(&size)) {
            counts.sample(size);
        }
    }
    Ok(())
}

fn seen(fields: &[Value], lengths: &[Option<Result<Value, RedisError>>]) -> Option<Seen> {
    let at = |index: usize| number(fields.get(index));
    let length = |answer: &Option<Result<Value, RedisError>>| number(answer.as_ref()?.as_ref().ok());
    Some(Seen {
        attempt: at(0)?,
        created: at(1)?,
        lease: at(2)?,
        expires: at(3)?,
        is_finished: fields.get(4).is_some_and(|status| *status != Value::Nil),
        bytes: lengths.iter().filter_map(length).sum(),
    })
}

fn number(value: Option<&Value>) -> Option<i64> {
    text(value?)?.parse().ok()
}

fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::BulkString(bytes) = value { Some(bytes) } else { None }
}

fn unexpected(node: &Node, command: &str) -> Failure {
    Failure::of(&node.address(), format!("its answer to {command} makes no sense: is it a server of Valkey or Redis?"))
}
