use std::time::Duration;

use super::super::bench::{A, Answer, B, Bench, Checked, LONG, Stop, Way, describe, ensure};
use super::super::tokens::{only_token, tokens};
use crate::store::LeaseState::{Held, Lost};
use crate::store::ReservationOutcome::{Conflict, InFlight};
use crate::store::{Claim, ClaimOutcome, LeaseState};

fn told(seen: LeaseState, expected: LeaseState, who: &str) -> Checked {
    ensure!(seen == expected, "{who} has to be told {expected:?}, was told {seen:?}");
    Ok(())
}

pub(super) async fn silent_holder_loses_the_key(bench: Bench) -> Checked {
    let lease = bench.units(3);
    let watch = bench.watch(lease);
    let (silent, _) = bench.lease("key", A, lease, LONG, "a fresh key").await?;
    watch.judge(bench.in_flight("key", A, "within the lease").await)?;
    watch.judge(bench.conflict("key", B, "within the lease").await)?;
    bench.wait(4).await;
    let (token, _) = bench.lease("key", A, LONG, LONG, "a lease that ended, for its own request").await?;
    ensure!(token != silent, "a takeover handed out the old holder's token again");
    bench.in_flight("key", A, "after the takeover").await
}

/// Its effect may have happened, so another request runs only once the row has expired.
pub(super) async fn dead_reservation_belongs_to_its_request(bench: Bench) -> Checked {
    const RACED: usize = 4;
    const EACH: usize = 8;
    let kept = bench.units(8);
    let watch = bench.watch(kept);
    bench.lease("expires", A, bench.unit, kept, "a fresh key").await?;
    for key in ["required", "extended"].map(str::to_owned).into_iter().chain((0..RACED).map(|n| format!("raced {n}"))) {
        bench.lease(&key, A, bench.unit, LONG, "a fresh key").await?;
    }
    bench.wait(2).await;

    let ways = [("required", Way::Required), ("extended", Way::Extended)];
    for (key, way) in ways {
        let bench = Bench { way, ..bench.clone() };
        bench.conflict(key, B, "another request under a key whose lease ended").await?;
        watch.judge(bench.conflict("expires", B, "another request under a key that has not expired").await)?;
        let token = bench.take(key, A, LONG, "a lease that ended, for its own request").await?;
        bench.conflict(key, B, "another request after the takeover").await?;
        bench.freeze(key, token, &Answer::new(200, key), "the outcome after a takeover").await?;
        bench.conflict(key, B, "another request under a finished key").await?;
    }

    let race = |bench: Bench, n: usize| async move {
        let hash = if n.is_multiple_of(2) { A } else { B };
        bench.claim(&format!("raced {}", n / EACH), hash, LONG).await
    };
    let seen = bench.rush(RACED * EACH, race).await?;
    for of_key in seen.chunks(EACH) {
        let own: Vec<_> = of_key.iter().step_by(2).cloned().collect();
        only_token(&own, "callers of its own request took a dead reservation over")?;
        if let Some(other) = of_key.iter().skip(1).step_by(2).find(|seen| **seen != Conflict) {
            ensure!(
                false,
                "another request that races for a dead reservation has to see Conflict, got {}",
                describe(other)
            );
        }
    }

    bench.wait(8).await;
    bench.attempt("expires", B, 1, "a row that expired, for another request").await.map(drop)
}

pub(super) async fn stale_holder_is_told_lost(bench: Bench) -> Checked {
    let (stale, _) = bench.lease("key", A, bench.unit, LONG, "a fresh key").await?;
    bench.wait(2).await;
    let (current, _) = bench.lease("key", A, LONG, LONG, "a lease that ended").await?;
    let late = Answer::new(200, "late");

    told(bench.renew("key", stale, LONG, LONG).await?, Lost, "an old holder that renews after a takeover")?;
    bench.in_flight("key", A, "the old holder renewed").await?;
    told(bench.finish("key", stale, &late).await?, Lost, "an old holder that finishes after a takeover")?;
    bench.in_flight("key", A, "the old holder finished").await?;
    bench.complete("key", stale, &late).await?;
    bench.in_flight("key", A, "the old holder completed").await?;
    bench.release("key", stale).await?;
    bench.in_flight("key", A, "the old holder released").await?;

    told(bench.renew("key", current, LONG, LONG).await?, Held, "the new holder that renews")?;
    let answer = Answer::new(201, "current");
    told(bench.finish("key", current, &answer).await?, Held, "the new holder that finishes")?;
    told(bench.renew("key", stale, LONG, LONG).await?, Lost, "an old holder that renews a finished key")?;
    told(bench.finish("key", stale, &late).await?, Lost, "an old holder that finishes a finished key")?;
    bench.replays("key", A, &answer, "the old holder came back").await?;
    Ok(())
}

/// Whoever took over from a reservation that went silent does not speak for it: its effect may have happened.
pub(super) async fn released_takeover_belongs_to_its_request(bench: Bench) -> Checked {
    bench.lease("key", A, bench.unit, LONG, "a fresh key").await?;
    bench.wait(2).await;
    let (takeover, _) = bench.lease("key", A, LONG, LONG, "a lease that ended").await?;
    bench.release("key", takeover).await?;
    bench.conflict("key", B, "another request under a key whose takeover was released").await?;
    bench.wait(1).await;
    let token = bench.attempt("key", A, 3, "a takeover that was released, for its own request").await?;
    bench.freeze("key", token, &Answer::new(200, "done"), "what the third attempt came to").await.map(drop)
}

pub(super) async fn attempts_count_takeovers(bench: Bench) -> Checked {
    let mut holder = None;
    for expected in 1..=3 {
        let (token, attempt) = bench.lease("key", A, bench.unit, LONG, "a key whose lease ended").await?;
        ensure!(attempt == expected, "reservation number {expected} of one key says that it is attempt {attempt}");
        holder = Some(token);
        bench.wait(2).await;
    }
    if let Some(token) = holder {
        bench.release("key", token).await?;
    }
    // What the silent ones did is not undone by the word of the last.
    bench.wait(1).await;
    bench.attempt("key", A, 4, "a released takeover, which another one follows").await?;

    bench.lease("expired", A, bench.unit, bench.unit, "a fresh key").await?;
    let (token, _) = bench.lease("record", A, bench.unit, bench.unit, "a fresh key").await?;
    bench.record("record", token, &Answer::new(200, "done")).await?;
    bench.wait(2).await;
    for key in ["expired", "record"] {
        bench.attempt(key, A, 1, "a key whose row expired, which is a fresh one").await?;
    }
    Ok(())
}

pub(super) async fn renewals_keep_the_reservation(bench: Bench) -> Checked {
    let lease = bench.units(4);
    let mut watch = bench.watch(lease);
    let (token, _) = bench.lease("key", A, lease, LONG, "a fresh key").await?;
    for _ in 0..8 {
        bench.wait(1).await;
        let next = bench.watch(lease);
        let renewed = bench.renew("key", token, lease, LONG).await?;
        watch.judge(told(renewed, Held, "a holder that renews in time"))?;
        watch = next;
        watch.judge(bench.in_flight("key", A, "a reservation that was renewed in time").await)?;
    }
    bench.wait(5).await;
    bench.lease("key", A, LONG, LONG, "a holder that stopped to renew").await.map(drop)
}

pub(super) async fn renewal_sets_the_lease(bench: Bench) -> Checked {
    let (token, _) = bench.lease("key", A, LONG, LONG, "a fresh key").await?;
    told(bench.renew("key", token, bench.unit, LONG).await?, Held, "a holder that renews")?;
    bench.wait(2).await;
    bench.lease("key", A, LONG, LONG, "a renewed lease ends counting from the renewal, and it did").await.map(drop)
}

pub(super) async fn renewal_extends_the_retention(bench: Bench) -> Checked {
    let first = bench.units(3);
    let watch = bench.watch(first);
    let (token, _) = bench.lease("key", A, first, first, "a fresh key").await?;
    let (done, _) = bench.lease("done", A, first, first, "a fresh key").await?;
    let renewed = [bench.renew("key", token, LONG, LONG).await?, bench.renew("done", done, LONG, LONG).await?];
    watch.in_time()?;
    for renewed in renewed {
        told(renewed, Held, "a holder that renews in time")?;
    }
    let answer = Answer::new(200, "done");
    bench.record("done", done, &answer).await?;
    bench.wait(4).await;
    bench.in_flight("key", A, "a renewal keeps the row for its retention").await?;
    bench.replays("done", A, &answer, "a renewal keeps the row for its retention").await?;
    Ok(())
}

pub(super) async fn renewal_never_shortens_the_retention(bench: Bench) -> Checked {
    let (token, _) = bench.lease("key", A, LONG, LONG, "a fresh key").await?;
    told(bench.renew("key", token, bench.unit, bench.unit).await?, Held, "a holder that renews")?;
    let answer = Answer::new(200, "done");
    told(bench.finish("key", token, &answer).await?, Held, "the holder")?;
    bench.wait(2).await;
    bench.replays("key", A, &answer, "a renewal for less than the retention").await?;
    Ok(())
}

pub(super) async fn renewal_after_completion_does_nothing(bench: Bench) -> Checked {
    let answer = Answer::new(200, "done");
    let (token, _) = bench.lease("key", A, LONG, LONG, "a fresh key").await?;
    let first = bench.freeze("key", token, &answer, "the outcome").await?;
    told(bench.renew("key", token, bench.unit, LONG * 2).await?, Lost, "who renews a finished reservation")?;
    bench.wait(2).await;
    let again = bench.replays("key", A, &answer, "a finished key after a renewal").await?;
    ensure!(again == first, "a renewal altered a finished record from {first:?} to {again:?}");
    Ok(())
}

pub(super) async fn lease_does_not_shorten_the_retention(bench: Bench) -> Checked {
    let answer = Answer::new(200, "done");
    for (key, finishes) in [("finished", true), ("completed", false)] {
        let (token, _) = bench.lease(key, A, bench.unit, LONG, "a fresh key").await?;
        if finishes {
            bench.finish(key, token, &answer).await?;
        } else {
            bench.complete(key, token, &answer).await?;
        }
    }
    bench.wait(3).await;
    for key in ["finished", "completed"] {
        bench.replays(key, A, &answer, "an outcome is kept for the retention, not for the lease").await?;
    }
    Ok(())
}

pub(super) async fn lease_ends_with_the_retention(bench: Bench) -> Checked {
    bench.lease("key", A, LONG, bench.unit, "a fresh key").await?;
    bench.wait(2).await;
    bench.lease("key", B, LONG, LONG, "a lease longer than the retention ends with it, and it did").await.map(drop)
}

/// A lease that ended takes nothing from its holder until somebody else asks for the key.
pub(super) async fn late_holder_keeps_an_untaken_key(bench: Bench) -> Checked {
    let answer = Answer::new(200, "late but alone");
    let (token, _) = bench.lease("finishes", A, bench.unit, LONG, "a fresh key").await?;
    let (other, _) = bench.lease("renews", A, bench.unit, LONG, "a fresh key").await?;
    bench.wait(2).await;
    let finished = bench.finish("finishes", token, &answer).await?;
    told(finished, Held, "a late holder that finishes a key nobody took over")?;
    bench.replays("finishes", A, &answer, "a late outcome of a key nobody took over").await?;
    let renewed = bench.renew("renews", other, LONG, LONG).await?;
    told(renewed, Held, "a late holder that renews a key nobody took over")?;
    bench.in_flight("renews", A, "a late renewal of a key nobody took over").await
}

/// The holder's lease ended, and it finishes at the moment in which others take its key over: one side wins, and both
/// know which.
pub(super) async fn late_finish_tells_who_won(bench: Bench) -> Checked {
    const KEYS: usize = 16;
    const EACH: usize = 4;
    let late = Answer::new(200, "late");
    let mut held = Vec::new();
    for key in 0..KEYS {
        held.push(bench.lease(&format!("key {key}"), A, bench.unit, LONG, "a fresh key").await?.0);
    }
    bench.wait(2).await;
    let call = |bench: Bench, n: usize| {
        let (token, late) = (held[n % KEYS], late.clone());
        async move {
            let key = format!("key {}", n % KEYS);
            if n / KEYS == n % EACH {
                return Ok((Some(bench.finish(&key, token, &late).await?), InFlight));
            }
            Ok((None, bench.claim(&key, A, LONG).await?))
        }
    };
    let seen = bench.rush(KEYS * EACH, call).await?;
    for key in 0..KEYS {
        let (states, claims): (Vec<_>, Vec<_>) = seen.iter().skip(key).step_by(KEYS).cloned().unzip();
        let key = format!("key {key}");
        match (states.into_iter().flatten().next(), &tokens(&claims)[..]) {
            (Some(Held), []) => drop(bench.replays(&key, A, &late, "the late holder was told Held").await?),
            (Some(Lost), [winner]) => {
                bench.in_flight(&key, A, "the late holder was told Lost").await?;
                bench.freeze(&key, *winner, &Answer::new(201, "new"), "the new holder's outcome").await?;
            }
            (state, winners) => {
                return Err(Stop::Broken(format!(
                    "a late finish raced with takeovers: the holder was told {state:?} while {} callers took over",
                    winners.len()
                )));
            }
        }
    }
    Ok(())
}

pub(super) async fn finish_tells_held_from_lost(bench: Bench) -> Checked {
    let answer = Answer::new(200, "done");
    let (token, _) = bench.lease("key", A, LONG, LONG, "a fresh key").await?;
    let stray = uuid::Uuid::new_v4();
    told(bench.finish("key", stray, &answer).await?, Lost, "who finishes with a token that is not the holder's")?;
    told(bench.renew("key", stray, LONG, LONG).await?, Lost, "who renews with a token that is not the holder's")?;
    told(bench.finish("unknown", stray, &answer).await?, Lost, "who finishes a key that nobody reserved")?;
    told(bench.renew("unknown", stray, LONG, LONG).await?, Lost, "who renews a key that nobody reserved")?;

    told(bench.finish("key", token, &answer).await?, Held, "the holder that finishes")?;
    told(bench.finish("key", token, &answer).await?, Held, "the holder that finishes again")?;
    told(bench.finish("key", stray, &answer).await?, Lost, "who finishes a finished key of another")?;

    let (completed, _) = bench.lease("completed", A, LONG, LONG, "a fresh key").await?;
    bench.complete("completed", completed, &answer).await?;
    told(bench.finish("completed", completed, &answer).await?, Held, "who finishes after its own `complete`")?;

    let (released, _) = bench.lease("released", A, LONG, LONG, "a fresh key").await?;
    bench.release("released", released).await?;
    told(bench.finish("released", released, &answer).await?, Lost, "who finishes after a release")?;
    told(bench.renew("released", released, LONG, LONG).await?, Lost, "who renews after a release")?;
    bench.lease("released", A, LONG, LONG, "a released key").await.map(drop)
}

/// A store may refuse what it cannot hold, with an error.
pub(super) async fn endless_durations_do_not_panic(bench: Bench) -> Checked {
    let endless = Claim {
        principal: &bench.principal,
        key: "key",
        request_hash: A,
        lease: Duration::MAX,
        retention: Duration::MAX,
    };
    if let Ok(ClaimOutcome::Reserved { token, .. }) = bench.store.reserve(endless).await {
        bench.in_flight("key", A, "a reservation without an end").await?;
        bench.release("key", token).await?;
    }
    let (token, _) = bench.lease("renewed", A, LONG, LONG, "a fresh key").await?;
    let _ = bench.store.renew(&bench.principal, "renewed", token, Duration::MAX, Duration::MAX).await;
    bench.in_flight("renewed", A, "a renewal without an end, refused or not").await?;
    bench.release("renewed", token).await
}
