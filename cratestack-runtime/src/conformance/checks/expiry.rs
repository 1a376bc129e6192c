use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::super::bench::{A, Answer, B, Bench, Checked, LONG, describe, ensure};
use crate::store::ReservationOutcome::Reserved;

pub(super) async fn reservation_lives_until_it_expires(bench: Bench) -> Checked {
    let watch = bench.watch(bench.units(4));
    bench.take("key", A, bench.units(4), "a fresh key").await?;
    for _ in 0..3 {
        watch.judge(bench.in_flight("key", A, "before the reservation expires").await)?;
        watch.judge(bench.conflict("key", B, "before the reservation expires").await)?;
        bench.wait(1).await;
    }
    Ok(())
}

pub(super) async fn expired_reservation_is_taken_over(bench: Bench) -> Checked {
    bench.take("same", A, bench.unit, "a fresh key").await?;
    bench.take("other", A, bench.unit, "a fresh key").await?;
    bench.wait(2).await;
    for (key, hash) in [("same", A), ("other", B)] {
        let token = bench.take(key, hash, LONG, "a reservation that expired").await?;
        bench.in_flight(key, hash, "after the takeover").await?;
        let answer = Answer::new(200, "new");
        bench.record(key, token, &answer).await?;
        let record = bench.replays(key, hash, &answer, "the new holder's outcome").await?;
        ensure!(record.request_hash == hash, "the record still holds the request hash from before the takeover");
    }
    Ok(())
}

pub(super) async fn takeover_rotates_the_token(bench: Bench) -> Checked {
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let token = bench.take("key", A, bench.unit, "a key that is fresh or whose reservation expired").await?;
        ensure!(seen.insert(token), "a takeover handed out the old holder's token again");
        bench.wait(2).await;
    }
    Ok(())
}

pub(super) async fn stale_holder_writes_nothing(bench: Bench) -> Checked {
    let stale = bench.take("key", A, bench.unit, "a fresh key").await?;
    bench.wait(2).await;
    let current = bench.take("key", A, LONG, "a reservation that expired").await?;
    let late = Answer::new(200, "late");
    bench.complete("key", stale, &late).await?;
    bench.in_flight("key", A, "the old holder completed after a takeover").await?;
    bench.finish("key", stale, &late).await?;
    bench.in_flight("key", A, "the old holder finished after a takeover").await?;
    bench.release("key", stale).await?;
    bench.in_flight("key", A, "the old holder released after a takeover").await?;
    let answer = Answer::new(201, "current");
    bench.record("key", current, &answer).await?;
    bench.complete("key", stale, &late).await?;
    bench.release("key", stale).await?;
    bench.replays("key", A, &answer, "the old holder came back after the new one had finished").await?;
    Ok(())
}

pub(super) async fn record_replays_until_it_expires(bench: Bench) -> Checked {
    let answer = Answer::new(200, "done");
    let watch = bench.watch(bench.units(4));
    let token = bench.take("key", A, bench.units(4), "a fresh key").await?;
    bench.record("key", token, &answer).await?;
    for _ in 0..3 {
        watch.judge(bench.replays("key", A, &answer, "before the record expires").await)?;
        watch.judge(bench.conflict("key", B, "before the record expires").await)?;
        bench.wait(1).await;
    }
    Ok(())
}

pub(super) async fn expired_record_is_a_fresh_key(bench: Bench) -> Checked {
    let mut old = Vec::new();
    for key in ["same", "other"] {
        let token = bench.take(key, A, bench.unit, "a fresh key").await?;
        bench.record(key, token, &Answer::new(200, "old")).await?;
        old.push(token);
    }
    bench.wait(2).await;
    for ((key, hash), old) in [("same", A), ("other", B)].into_iter().zip(old) {
        let token = bench.take(key, hash, LONG, "a record that expired").await?;
        ensure!(token != old, "a key whose record expired was reserved under its old token");
        bench.record(key, old, &Answer::new(200, "late")).await?;
        bench.release(key, old).await?;
        bench.in_flight(key, hash, "after the token of the expired record was used").await?;
        let answer = Answer::new(201, "new");
        bench.record(key, token, &answer).await?;
        bench.replays(key, hash, &answer, "the outcome after an expired one").await?;
    }
    Ok(())
}

/// A caller whose clock is behind sends ends that have passed.
pub(super) async fn past_expiry_neither_fails_nor_blocks(bench: Bench) -> Checked {
    let now = SystemTime::now();
    let ends = [("now", now), ("a day ago", now - Duration::from_hours(24)), ("the epoch", SystemTime::UNIX_EPOCH)];
    for (key, end) in ends {
        let seen = bench.reserve_or_fetch(key, A, end).await?;
        ensure!(
            matches!(seen, Reserved { .. }),
            "a reservation that ends {key}: expected Reserved, got {}",
            describe(&seen)
        );
    }
    for (key, _) in ends {
        bench.take_within(20, key, &format!("a reservation ended {key}, and long after that")).await?;
    }
    Ok(())
}

pub(super) async fn far_expiry_is_accepted(bench: Bench) -> Checked {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    for years in [1, 10, 100] {
        let key = format!("{years} years");
        let seen = bench.reserve_or_fetch(&key, A, SystemTime::now() + YEAR * years).await?;
        let Reserved { token } = seen else {
            ensure!(false, "a reservation for {key}: expected Reserved, got {}", describe(&seen));
            continue;
        };
        bench.in_flight(&key, A, "a reservation for years").await?;
        bench.freeze(&key, token, &Answer::new(200, "done"), "a record for years").await?;
        bench.release(&key, token).await?;
    }
    Ok(())
}
