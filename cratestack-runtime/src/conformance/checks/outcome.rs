use std::time::{Duration, SystemTime};

use bytes::Bytes;
use uuid::Uuid;

use super::super::bench::{A, Answer, Bench, Checked, LONG, Stop, ensure};
use crate::store::{IdempotencyRecord, MAX_BODY_BYTES};

async fn recorded(bench: &Bench, key: &str, answer: &Answer, why: &str) -> Checked<IdempotencyRecord> {
    let token = bench.take(key, A, LONG, "a fresh key").await?;
    bench.freeze(key, token, answer, why).await
}

pub(super) async fn replay_is_identical(bench: Bench) -> Checked {
    let answer = Answer::new(201, "created");
    let first = recorded(&bench, "key", &answer, "the first replay").await?;
    ensure!(first.key == "key", "the record names the key {:?} instead of \"key\"", first.key);
    ensure!(*first.principal_fingerprint == *bench.principal, "the record names another principal than its own");
    ensure!(first.request_hash == A, "the record holds another request hash than the one that reserved the key");
    for _ in 0..3 {
        let again = bench.replays("key", A, &answer, "a later replay").await?;
        ensure!(again == first, "two replays of one record differ: {first:?} and {again:?}");
    }
    Ok(())
}

pub(super) async fn error_statuses_replay(bench: Bench) -> Checked {
    for status in [100, 200, 204, 302, 404, 409, 422, 429, 500, 502, 503, 599, 999] {
        let answer = Answer::new(status, "whatever it is");
        recorded(&bench, &format!("key {status}"), &answer, "an outcome is frozen whatever its status").await?;
    }
    Ok(())
}

pub(super) async fn empty_outcome_replays(bench: Bench) -> Checked {
    let full = Answer::new(200, "full");
    let no_body = Answer { body: Bytes::new(), ..full.clone() };
    let no_headers = Answer { headers: Vec::new(), ..full };
    let nothing = Answer { status: 204, headers: Vec::new(), body: Bytes::new() };
    recorded(&bench, "no body", &no_body, "an outcome with an empty body").await?;
    recorded(&bench, "no headers", &no_headers, "an outcome with empty headers").await?;
    recorded(&bench, "nothing", &nothing, "an outcome with neither body nor headers").await?;
    Ok(())
}

pub(super) async fn binary_outcome_replays(bench: Bench) -> Checked {
    let up: Vec<u8> = (0..=255).collect();
    let down: Vec<u8> = (0..=255).rev().collect();
    recorded(
        &bench,
        "bytes",
        &Answer { status: 200, headers: up.clone(), body: down.clone().into() },
        "all byte values",
    )
    .await?;
    recorded(&bench, "nul", &Answer { status: 200, headers: vec![0; 3], body: vec![0; 3].into() }, "bytes of zero")
        .await?;
    let spaces = Answer { status: 200, headers: b" \t\r\n ".to_vec(), body: Bytes::from_static(b"  \\x00 \r\n\0 ") };
    recorded(&bench, "spaces", &spaces, "bytes of white space").await?;
    Ok(())
}

pub(super) async fn large_outcome_replays(bench: Bench) -> Checked {
    let body: Vec<u8> = (0..=250).cycle().take(MAX_BODY_BYTES).collect();
    let answer = Answer { status: 200, headers: body[..64 * 1024].to_vec(), body: body.into() };
    recorded(&bench, "key", &answer, "a body of 2 MiB").await?;
    Ok(())
}

pub(super) async fn outcome_is_frozen(bench: Bench) -> Checked {
    for status in [200, 503] {
        let key = format!("key {status}");
        let token = bench.take(&key, A, LONG, "a fresh key").await?;
        let answer = Answer::new(status, "first");
        let first = bench.freeze(&key, token, &answer, "the outcome").await?;
        bench.record(&key, token, &answer).await?;
        for other in [Answer::new(status, "second"), Answer::new(200, ""), Answer { status: 418, ..answer.clone() }] {
            bench.record(&key, token, &other).await?;
            bench.complete(&key, token, &other).await?;
            bench.finish(&key, token, &other).await?;
            let again = bench.replays(&key, A, &answer, "a second completion must not alter the first").await?;
            ensure!(again == first, "a second completion altered the record from {first:?} to {again:?}");
        }
        bench.record(&key, Uuid::new_v4(), &Answer::new(200, "third")).await?;
        bench.replays(&key, A, &answer, "a completion with a foreign token must not alter the outcome").await?;
    }
    Ok(())
}

pub(super) async fn another_token_completes_nothing(bench: Bench) -> Checked {
    let token = bench.take("key", A, LONG, "a fresh key").await?;
    let elsewhere = bench.take("another key", A, LONG, "a fresh key").await?;
    for stray in [Uuid::new_v4(), Uuid::nil(), elsewhere] {
        bench.record("key", stray, &Answer::new(200, "stray")).await?;
        bench.in_flight("key", A, "after a completion with a token that is not the holder's").await?;
    }
    bench.freeze("key", token, &Answer::new(200, "own"), "the holder's own completion").await?;
    bench.in_flight("another key", A, "after its token was used on another key").await
}

pub(super) async fn timestamps_span_the_retention(bench: Bench) -> Checked {
    const SLACK: Duration = Duration::from_mins(1);
    let began = SystemTime::now();
    let record = recorded(&bench, "key", &Answer::new(200, "done"), "the outcome").await?;
    if began.elapsed().unwrap_or_default() > SLACK / 2 {
        return Err(Stop::TooSlow);
    }
    let span = record.expires_at.duration_since(record.created_at).unwrap_or_default();
    ensure!(
        span.abs_diff(LONG) <= SLACK,
        "a record that is kept for {LONG:?} says that it was made at {:?} and expires at {:?}",
        record.created_at,
        record.expires_at
    );
    Ok(())
}
