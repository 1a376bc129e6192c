//! What an operator sees and removes.

use std::time::{Duration, SystemTime};

use super::super::bench::{A, Answer, B, Bench, Checked, LONG, Stop, ensure};
use crate::store::{
    ClaimOutcome, IfRunning, LeaseState, RecordInfo, RecordQuery, RecordState, Removal, RemovalOutcome, StoreError,
    Within,
};

const RELEASE: IfRunning = IfRunning::Refuse;

/// A store may lack these methods.
fn offered<T>(answer: Result<T, StoreError>) -> Checked<T> {
    answer.map_err(|error| match error {
        StoreError::Unsupported(_) => Stop::NotOffered("the store has no methods for operators: `show` and so on"),
        error => Stop::Broken(format!("an operator is refused: {error}")),
    })
}

async fn show(bench: &Bench, key: &str) -> Checked<Option<RecordInfo>> {
    offered(bench.store.show(&bench.principal, key).await)
}

async fn state(bench: &Bench, key: &str) -> Checked<Option<RecordState>> {
    Ok(show(bench, key).await?.map(|record| record.state))
}

async fn remove(bench: &Bench, key: &str, removal: Removal) -> Checked<RemovalOutcome> {
    offered(bench.store.remove(&bench.principal, key, removal).await)
}

/// The keys that are listed of a namespace of the check's own.
async fn listed(bench: &Bench, namespace: &str, query: RecordQuery) -> Checked<Vec<String>> {
    let query = RecordQuery { within: Within::Namespace(namespace.to_owned()), ..query };
    let records = offered(bench.store.list(&query).await)?;
    let whole = format!("{namespace}\u{2192}alice");
    ensure!(records.iter().all(|record| record.principal == whole), "a list of one namespace shows another's");
    Ok(records.into_iter().map(|record| record.key).collect())
}

fn close(found: SystemTime, expected: SystemTime, slack: Duration) -> bool {
    let (earlier, later) = (found.min(expected), found.max(expected));
    later.duration_since(earlier).unwrap_or_default() <= slack
}

pub(super) async fn shown_records_are_as_they_are(bench: Bench) -> Checked {
    ensure!(show(&bench, "absent").await?.is_none(), "a key that nobody reserved has a record");
    let (token, _) = bench.lease("key", A, LONG, LONG * 2, "a fresh key").await?;
    let Some(running) = show(&bench, "key").await? else {
        return Err(Stop::Broken("a reservation is not shown".to_owned()));
    };
    ensure!(
        (running.principal.as_str(), running.key.as_str()) == (&*bench.principal, "key"),
        "{running:?} is another's"
    );
    ensure!(
        running.request_hash == Some(A) && running.attempt == 1 && running.status.is_none(),
        "shown as {running:?}"
    );
    ensure!(running.body_bytes == 0 && running.headers_bytes == 0, "a reservation has contents: {running:?}");
    let slack = LONG / 2;
    let lease_ends_at = running.lease_ends_at.unwrap_or(SystemTime::UNIX_EPOCH);
    ensure!(close(lease_ends_at, running.created_at + LONG, slack), "the lease is shown to end at another time");
    ensure!(close(running.expires_at, running.created_at + LONG * 2, slack), "the expiry is shown as another time");
    ensure!(close(running.now, running.created_at, slack), "the store's clock is shown as another time");
    if bench.leases {
        ensure!(running.state == RecordState::InFlight, "a reservation is shown as {}", running.state.as_str());
    }

    bench.finish("key", token, &Answer::new(201, "seven b")).await?;
    let Some(finished) = show(&bench, "key").await? else {
        return Err(Stop::Broken("an outcome is not shown".to_owned()));
    };
    ensure!(finished.state == RecordState::Finished && finished.status == Some(201), "shown as {finished:?}");
    ensure!((finished.headers_bytes, finished.body_bytes) == (18, 7), "the sizes are shown as {finished:?}");
    ensure!(finished.lease_ends_at.is_none(), "an outcome has a lease: {finished:?}");

    bench.take("short", A, bench.unit, "a fresh key").await?;
    bench.wait(2).await;
    // Somebody may have swept.
    let expired = state(&bench, "short").await?;
    ensure!(matches!(expired, None | Some(RecordState::Expired)), "what has expired is shown as {expired:?}");
    Ok(())
}

pub(super) async fn lists_show_what_they_are_asked_for(bench: Bench) -> Checked {
    let namespace = bench.principal.to_string();
    let bench = bench.as_principal(&format!("{namespace}\u{2192}alice"));
    for key in ["first", "second"] {
        bench.lease(key, A, LONG, LONG, "a fresh key").await?;
        bench.wait(1).await;
    }
    let finished = bench.take("finished", A, LONG, "a fresh key").await?;
    bench.record("finished", finished, &Answer::new(200, "done")).await?;

    let unfinished = listed(&bench, &namespace, RecordQuery::new(100)).await?;
    ensure!(unfinished == ["first", "second"], "listed are {unfinished:?}, in the order of their reservations");
    let one = listed(&bench, &namespace, RecordQuery::new(1)).await?;
    ensure!(one == ["first"], "a limit of one lists {one:?}");
    let done = listed(&bench, &namespace, RecordQuery::new(100).states([RecordState::Finished])).await?;
    ensure!(done == ["finished"], "of what is finished, {done:?} is listed");
    let all = listed(&bench, &namespace, RecordQuery::new(100).states([])).await?;
    ensure!(all.len() == 3, "of three records, {all:?} are listed");
    let old = listed(&bench, &namespace, RecordQuery::new(100).lasting(LONG)).await?;
    ensure!(old.is_empty(), "{old:?} are listed that are not that old");
    let lasting = listed(&bench, &namespace, RecordQuery::new(100).lasting(bench.unit / 2)).await?;
    ensure!(lasting.iter().any(|key| key == "first"), "listed are {lasting:?}, without one that has lasted longer");

    let outside = RecordQuery { within: Within::NoNamespace, ..RecordQuery::new(u32::MAX).states([]) };
    let outside = offered(bench.store.list(&outside).await)?;
    ensure!(outside.iter().all(|record| record.principal != *bench.principal), "a namespace is listed with none");
    Ok(())
}

pub(super) async fn removal_respects_what_runs(bench: Bench) -> Checked {
    let (token, _) = bench.lease("key", A, LONG, LONG, "a fresh key").await?;
    for removal in [Removal::release(RELEASE), Removal::forget(RELEASE)] {
        let refused = remove(&bench, "key", removal).await?;
        ensure!(refused == RemovalOutcome::Refused(RecordState::InFlight), "what runs is {refused:?} by {removal:?}");
    }
    let finished = bench.finish("key", token, &Answer::new(200, "done")).await?;
    ensure!(finished == LeaseState::Held, "a refused removal cost a reservation its key");
    let refused = remove(&bench, "key", Removal::release(IfRunning::Remove)).await?;
    ensure!(refused == RemovalOutcome::Refused(RecordState::Finished), "an outcome is {refused:?} by a release");
    bench.replays("key", A, &Answer::new(200, "done"), "an outcome after a refused release").await?;
    let absent = remove(&bench, "absent", Removal::forget(IfRunning::Remove)).await?;
    ensure!(absent == RemovalOutcome::Absent, "what is not there is {absent:?}");
    Ok(())
}

pub(super) async fn removed_reservation_writes_nothing(bench: Bench) -> Checked {
    let (removed, _) = bench.lease("key", A, LONG, LONG, "a fresh key").await?;
    let outcome = remove(&bench, "key", Removal::release(IfRunning::Remove)).await?;
    ensure!(outcome == RemovalOutcome::Removed(RecordState::InFlight), "a reservation is {outcome:?}");
    let (token, attempt) = bench.lease("key", B, LONG, LONG, "another request, once the key was given back").await?;
    ensure!(attempt == 1, "a key that was given back is reserved as attempt {attempt}");
    let late = bench.finish("key", removed, &Answer::new(200, "late")).await?;
    ensure!(late == LeaseState::Lost, "whose reservation was removed is told {late:?} when it finishes");
    bench.release("key", removed).await?;
    let late = bench.renew("key", removed, LONG, LONG).await?;
    ensure!(late == LeaseState::Lost, "whose reservation was removed is told {late:?} when it renews");
    let held = bench.finish("key", token, &Answer::new(200, "mine")).await?;
    ensure!(held == LeaseState::Held, "who reserved after a removal has lost its key to the one before");
    Ok(())
}

pub(super) async fn removed_outcome_is_a_fresh_key_and_ends_the_session(bench: Bench) -> Checked {
    let token = bench.take("key", A, LONG, "a fresh key").await?;
    bench.freeze("key", token, &Answer::new(200, "done"), "a record").await?;
    let session = || async { bench.store.now().await.ok().flatten().map(|sample| sample.session) };
    let before = session().await;
    let outcome = remove(&bench, "key", Removal::forget(RELEASE)).await?;
    ensure!(outcome == RemovalOutcome::Removed(RecordState::Finished), "an outcome is {outcome:?}");
    if let Some(before) = before {
        ensure!(session().await != Some(before), "processes that keep an outcome are not told that it was removed");
    }
    let (_, attempt) = bench.lease("key", B, LONG, LONG, "another request, once the outcome was removed").await?;
    ensure!(attempt == 1, "a key whose outcome was removed is reserved as attempt {attempt}");
    Ok(())
}

/// Of a dead reservation, that is: what was taken over meanwhile runs, and stays.
pub(super) async fn removal_and_takeover_exclude_each_other(bench: Bench) -> Checked {
    offered(bench.store.show(&bench.principal, "probe").await)?;
    for round in 0..8 {
        let key = format!("key {round}");
        bench.lease(&key, A, bench.unit, LONG, "a fresh key").await?;
        bench.wait(2).await;
        let tokens = bench
            .rush(8, |bench, n| {
                let key = key.clone();
                async move {
                    if n % 2 == 0 {
                        remove(&bench, &key, Removal::release(RELEASE)).await?;
                        return Ok(None);
                    }
                    Ok(match bench.reserve(&key, A, LONG, LONG).await? {
                        ClaimOutcome::Reserved { token, .. } => Some(token),
                        _ => None,
                    })
                }
            })
            .await?;
        let tokens: Vec<_> = tokens.into_iter().flatten().collect();
        let [token] = tokens[..] else {
            return Err(Stop::Broken(format!("{} callers reserved beside a removal; exactly one may", tokens.len())));
        };
        let held = bench.finish(&key, token, &Answer::new(200, "mine")).await?;
        ensure!(held == LeaseState::Held, "a removal that spares what runs took a fresh reservation's key");
    }
    Ok(())
}

pub(super) async fn all_of_a_principal_are_removed_and_of_no_other(bench: Bench) -> Checked {
    offered(bench.store.show(&bench.principal, "probe").await)?;
    let neighbours = [format!("{}x", bench.principal), format!("ns\u{2192}{}", bench.principal)];
    let neighbours = neighbours.map(|name| bench.as_principal(&name));
    for bench in neighbours.iter().chain([&bench]) {
        for n in 0..5 {
            let key = format!("key {n}");
            let token = bench.take(&key, A, LONG, "a fresh key").await?;
            bench.record(&key, token, &Answer::new(200, "done")).await?;
        }
        bench.lease("running", A, LONG, LONG, "a fresh key").await?;
    }
    let all = |removal, limit| {
        let bench = &bench;
        async move { offered(bench.store.remove_all_of(&bench.principal, removal, limit).await) }
    };
    let some = all(Removal::forget(RELEASE), 2).await?;
    ensure!(some.removed == 2, "with a limit of two, {some:?}");
    let rest = all(Removal::forget(RELEASE), 100).await?;
    ensure!((rest.removed, rest.running) == (3, 1), "of three outcomes and one that runs, {rest:?}");
    bench.in_flight("running", A, "what runs when its principal's records are removed").await?;
    let running = all(Removal::forget(IfRunning::Remove), 100).await?;
    ensure!((running.removed, running.running) == (1, 0), "of one that runs and is to go too, {running:?}");
    for bench in neighbours {
        bench.replays("key 0", A, &Answer::new(200, "done"), "another principal's outcome").await?;
        bench.in_flight("running", A, "another principal's reservation").await?;
    }
    Ok(())
}
