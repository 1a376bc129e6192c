use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::super::bench::{A, Answer, B, Bench, Checked, LONG, Stop, describe, ensure};
use super::super::tokens::{only_token, token_of_each};
use crate::store::ReservationOutcome::{Conflict, InFlight, Replay, Reserved};

const CALLERS: usize = 16;

/// Rounds alternate between a key that nobody ever had and the same key given back.
pub(super) async fn one_of_many_callers_reserves(bench: Bench) -> Checked {
    for round in 0..20 {
        let key = format!("round {}", round / 2);
        let call = |bench: Bench, _| {
            let key = key.clone();
            async move { bench.claim(&key, A, LONG).await }
        };
        let seen = bench.rush(CALLERS, call).await?;
        let winner = only_token(&seen, "simultaneous callers with one key saw Reserved")?;
        if let Some(other) = seen.iter().find(|seen| !matches!(seen, Reserved { .. } | InFlight)) {
            ensure!(false, "a caller beside the holder has to see InFlight, got {}", describe(other));
        }
        bench.release(&key, winner).await?;
    }
    Ok(())
}

pub(super) async fn many_keys_reserve_side_by_side(bench: Bench) -> Checked {
    const KEYS: usize = 64;
    const EACH: usize = 4;
    let call = |bench: Bench, n| async move { bench.claim(&format!("key {}", n % KEYS), A, LONG).await };
    let seen = bench.rush(KEYS * EACH, call).await?;
    let tokens = token_of_each(&seen, KEYS, "callers saw Reserved for one of many keys")?;
    let distinct: HashSet<_> = tokens.into_iter().collect();
    ensure!(distinct.len() == KEYS, "{KEYS} reservations share {} tokens; each has to have its own", distinct.len());
    Ok(())
}

pub(super) async fn racing_requests_conflict(bench: Bench) -> Checked {
    for round in 0..10 {
        let call = move |bench: Bench, n| async move {
            let hash = if n % 2 == 0 { A } else { B };
            Ok((hash, bench.claim(&format!("round {round}"), hash, LONG).await?))
        };
        let seen = bench.rush(CALLERS, call).await?;
        let holders: Vec<_> = seen.iter().filter(|(_, seen)| matches!(seen, Reserved { .. })).collect();
        let [(holder, _)] = holders[..] else {
            return Err(Stop::Broken(format!("two requests raced for one key and {} saw Reserved", holders.len())));
        };
        for (hash, seen) in seen.iter().filter(|(_, seen)| !matches!(seen, Reserved { .. })) {
            let expected = if hash == holder { InFlight } else { Conflict };
            ensure!(
                *seen == expected,
                "two requests raced for one key: a loser has to see {}, got {}",
                describe(&expected),
                describe(seen)
            );
        }
    }
    Ok(())
}

pub(super) async fn one_of_many_callers_takes_over(bench: Bench) -> Checked {
    const KEYS: usize = 8;
    for key in 0..KEYS {
        bench.take(&format!("key {key}"), A, bench.unit, "a fresh key").await?;
    }
    bench.wait(2).await;
    let call = |bench: Bench, n| async move { bench.claim(&format!("key {}", n % KEYS), A, LONG).await };
    let seen = bench.rush(KEYS * CALLERS, call).await?;
    token_of_each(&seen, KEYS, "simultaneous callers took a dead reservation over").map(drop)
}

/// The holder of an expired reservation comes back at the moment in which others take it over.
pub(super) async fn late_holder_and_takeover_exclude_each_other(bench: Bench) -> Checked {
    const KEYS: usize = 16;
    const EACH: usize = 4;
    let mut late = Vec::new();
    for key in 0..KEYS {
        late.push(bench.take(&format!("key {key}"), A, bench.unit, "a fresh key").await?);
    }
    bench.wait(2).await;
    let call = |bench: Bench, n: usize| {
        let token = late[n % KEYS];
        async move {
            let key = format!("key {}", n % KEYS);
            // The holder's place in the queue differs from key to key, so that either side is first somewhere.
            if n / KEYS == n % EACH {
                bench.record(&key, token, &Answer::new(200, "late")).await?;
                return Ok(InFlight);
            }
            bench.claim(&key, A, LONG).await
        }
    };
    let seen = bench.rush(KEYS * EACH, call).await?;
    let winners = token_of_each(&seen, KEYS, "callers took one expired reservation over")?;
    for (key, winner) in winners.into_iter().enumerate() {
        let key = format!("key {key}");
        bench.in_flight(&key, A, "after a takeover that raced with the old holder's completion").await?;
        bench.freeze(&key, winner, &Answer::new(201, "new"), "after the new holder's completion").await?;
    }
    Ok(())
}

pub(super) async fn readers_see_a_whole_outcome_or_none(bench: Bench) -> Checked {
    const READERS: usize = 8;
    let body: Vec<u8> = (0..=255).cycle().take(256 * 1024).collect();
    let answer = Answer { status: 200, headers: body[..4096].to_vec(), body: Bytes::from(body) };
    let token = bench.take("key", A, LONG, "a fresh key").await?;
    let call = |bench: Bench, n| {
        let answer = answer.clone();
        async move {
            if n == 0 {
                sleep(Duration::from_millis(2)).await;
                return bench.record("key", token, &answer).await;
            }
            let until = Instant::now() + LONG / 20;
            while Instant::now() < until {
                match bench.claim("key", A, LONG).await? {
                    InFlight => sleep(Duration::from_micros(200)).await,
                    Replay(record) if answer.is_in(&record) => return Ok(()),
                    Replay(_) => ensure!(false, "a reader saw a part of an outcome while it was being recorded"),
                    other => ensure!(false, "a reader of a running reservation got {}", describe(&other)),
                }
            }
            Err(Stop::Broken("the outcome was recorded, but a reader never saw it".to_owned()))
        }
    };
    bench.rush(READERS + 1, call).await.map(drop)
}

pub(super) async fn racing_completions_freeze_one(bench: Bench) -> Checked {
    for round in 0..10 {
        let key = format!("round {round}");
        let token = bench.take(&key, A, LONG, "a fresh key").await?;
        let call = |bench: Bench, n| {
            let key = key.clone();
            async move {
                bench.record(&key, token, &Answer::new(200, &format!("answer {n}"))).await?;
                match bench.claim(&key, A, LONG).await? {
                    Replay(record) => Ok(record),
                    other => {
                        Err(Stop::Broken(format!("expected a replay of a finished key, got {}", describe(&other))))
                    }
                }
            }
        };
        let seen = bench.rush(8, call).await?;
        ensure!(
            seen.windows(2).all(|pair| pair[0] == pair[1]),
            "completions with one token raced, and replays differ; the first has to stand"
        );
    }
    Ok(())
}
