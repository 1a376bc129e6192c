use tokio::time::Instant;
use uuid::Uuid;

use super::super::bench::{A, Answer, B, Bench, Checked, LONG, Stop, ensure};
use crate::store::LeaseState::{Held, Lost};
use crate::store::{ClaimOutcome, LeaseState, StepRecord, StoreError};

fn offered<T>(answer: Result<T, StoreError>) -> Checked<T> {
    answer.map_err(|error| match error {
        StoreError::Unsupported(_) => Stop::NotOffered("the store keeps no steps: `record_step` and `steps`"),
        error => Stop::Broken(format!("a step is refused: {error}")),
    })
}

async fn record(bench: &Bench, key: &str, token: Uuid, name: &str, value: &[u8]) -> Checked<LeaseState> {
    let step = StepRecord { principal: &bench.principal, key, token, name, value };
    offered(bench.store.record_step(step).await)
}

/// A step that has to be recorded.
async fn keep(bench: &Bench, key: &str, token: Uuid, name: &str, value: &[u8]) -> Checked {
    let kept = record(bench, key, token, name, value).await?;
    ensure!(kept == Held, "a run that has its key records a step, and is told {kept:?}");
    Ok(())
}

/// The names and values that a run finds.
async fn found(bench: &Bench, key: &str, token: Uuid) -> Checked<Vec<(String, Vec<u8>)>> {
    let steps = offered(bench.store.steps(&bench.principal, key, token).await)?;
    Ok(steps.into_iter().map(|step| (step.name, step.value)).collect())
}

async fn finds(bench: &Bench, key: &str, token: Uuid, expected: &[(&str, &[u8])], who: &str) -> Checked {
    let found = found(bench, key, token).await?;
    let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    ensure!(found == expected, "{who} has to find {} steps in order, and finds {}", expected.len(), found.len());
    Ok(())
}

pub(super) async fn steps_are_found_by_their_run_and_by_the_one_that_takes_over(bench: Bench) -> Checked {
    let (first, _) = bench.lease("key", A, bench.unit, LONG, "a fresh key").await?;
    finds(&bench, "key", first, &[], "a run without steps").await?;
    keep(&bench, "key", first, "charge", b"ch_1").await?;
    finds(&bench, "key", first, &[("charge", b"ch_1")], "the run itself").await?;
    bench.wait(2).await;

    let (second, attempt) = bench.lease("key", A, bench.unit, LONG, "a lease that ended").await?;
    ensure!(attempt == 2, "a takeover is attempt 2, not {attempt}");
    finds(&bench, "key", first, &[], "a run whose key was taken over").await?;
    finds(&bench, "key", second, &[("charge", b"ch_1")], "the run that took over").await?;
    let late = record(&bench, "key", first, "late", b"late").await?;
    ensure!(late == Lost, "a run whose key was taken over records a step, and is told {late:?}");
    keep(&bench, "key", second, "ship", b"s_1").await?;
    bench.wait(2).await;

    let (third, _) = bench.lease("key", A, LONG, LONG, "a lease that ended again").await?;
    finds(&bench, "key", third, &[("charge", b"ch_1"), ("ship", b"s_1")], "the run that took over from two").await
}

pub(super) async fn steps_end_with_their_outcome(bench: Bench) -> Checked {
    let (token, _) = bench.lease("key", A, LONG, LONG, "a fresh key").await?;
    keep(&bench, "key", token, "charge", b"ch_1").await?;
    let answer = Answer::new(200, "done");
    bench.finish("key", token, &answer).await?;
    finds(&bench, "key", token, &[], "a run whose outcome is recorded").await?;
    let late = record(&bench, "key", token, "late", b"late").await?;
    ensure!(late == Lost, "a run whose outcome is recorded records a step, and is told {late:?}");
    bench.replays("key", A, &answer, "an outcome after a late step").await.map(drop)
}

pub(super) async fn released_run_leaves_its_steps_to_its_request(bench: Bench) -> Checked {
    let (first, _) = bench.lease("key", A, LONG, LONG, "a fresh key").await?;
    keep(&bench, "key", first, "charge", b"ch_1").await?;
    bench.release("key", first).await?;
    bench.conflict("key", B, "another request under a key whose run has steps").await?;
    let (second, attempt) = bench.lease("key", A, LONG, LONG, "the same request, once its run was released").await?;
    ensure!(attempt == 2, "a run that goes on from steps is attempt 2, not {attempt}");
    finds(&bench, "key", second, &[("charge", b"ch_1")], "the run that goes on").await?;

    let (plain, _) = bench.lease("plain", A, LONG, LONG, "a fresh key").await?;
    bench.release("plain", plain).await?;
    bench.attempt("plain", B, 1, "another request under a key whose run had no steps").await.map(drop)
}

pub(super) async fn steps_expire_with_their_row(bench: Bench) -> Checked {
    for (key, hash) in [("same", A), ("another", B)] {
        let (token, _) = bench.lease(key, A, bench.unit, bench.unit, "a fresh key").await?;
        // Told `Lost` where so much time has gone by.
        record(&bench, key, token, "charge", b"ch_1").await?;
        bench.wait(2).await;
        let token = bench.attempt(key, hash, 1, "a row that expired").await?;
        finds(&bench, key, token, &[], "the first run after a row expired").await?;
        keep(&bench, key, token, "ship", b"s_1").await?;
        finds(&bench, key, token, &[("ship", b"s_1")], "the first run after a row expired").await?;
    }
    Ok(())
}

pub(super) async fn steps_come_back_as_they_were(bench: Bench) -> Checked {
    let (token, _) = bench.lease("key", A, LONG, LONG, "a fresh key").await?;
    let large = vec![0xa5; 1 << 18];
    let steps: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("", b"no name"),
        ("binary", &[0, 255, 10, 39, 92, 0]),
        ("quotes ' \" \\ %", b"'; --"),
        ("\u{1f4b6} \u{e9}", "\u{1f4b6}".as_bytes()),
        ("large", &large),
    ];
    for (name, value) in steps {
        keep(&bench, "key", token, name, value).await?;
        // A call whose answer was lost is sent again.
        keep(&bench, "key", token, name, value).await?;
    }
    finds(&bench, "key", token, &steps, "the run itself").await?;
    finds(&bench, "another key", token, &[], "the token under another key").await?;
    let elsewhere = record(&bench, "another key", token, "step", b"").await?;
    ensure!(elsewhere == Lost, "a step of a key that nobody reserved is recorded: {elsewhere:?}");
    finds(&bench.as_principal("nobody"), "key", token, &[], "the token under another principal").await
}

/// What a run is told that it recorded, the run that takes over finds; and nothing else.
pub(super) async fn step_and_takeover_exclude_each_other(bench: Bench) -> Checked {
    // A store that keeps no steps says so here, and may know no lease that would end below.
    let (token, _) = bench.lease("alone", A, LONG, LONG, "a fresh key").await?;
    keep(&bench, "alone", token, "charge", b"ch_1").await?;
    for round in 0..8 {
        let key = format!("key {round}");
        let (first, _) = bench.lease(&key, A, bench.unit, LONG, "a fresh key").await?;
        bench.wait(1).await;
        let raced = bench
            .rush(2, |bench, n| {
                let key = key.clone();
                async move {
                    if n == 0 {
                        return record(&bench, &key, first, "charge", b"ch_1").await.map(|told| (Some(told), None));
                    }
                    let until = Instant::now() + bench.units(20);
                    while Instant::now() < until {
                        if let ClaimOutcome::Reserved { token, .. } = bench.reserve(&key, A, LONG, LONG).await? {
                            return Ok((None, Some(token)));
                        }
                        tokio::task::yield_now().await;
                    }
                    Err(Stop::Broken("a reservation whose lease has ended is not taken over".to_owned()))
                }
            })
            .await?;
        let (Some((told, _)), Some((_, Some(second)))) = (raced.first(), raced.last()) else {
            return Err(Stop::Broken("two callers raced, and one has no answer".to_owned()));
        };
        let expected: &[(&str, &[u8])] = if *told == Some(Held) { &[("charge", b"ch_1")] } else { &[] };
        finds(&bench, &key, *second, expected, "a run that takes over while a step is recorded").await?;
    }
    Ok(())
}
