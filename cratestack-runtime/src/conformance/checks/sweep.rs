use uuid::Uuid;

use super::super::bench::{A, Answer, Bench, Checked, LONG, Stop, ensure};
use crate::store::LeaseState;

const EXPIRED: usize = 12;

/// Makes rows that have expired when this returns.
async fn expired_rows(bench: &Bench, name: &str) -> Checked<Vec<(String, Uuid)>> {
    let mut rows = Vec::new();
    for n in 0..EXPIRED {
        let key = format!("{name} {n}");
        let token = bench.take(&key, A, bench.unit, "a fresh key").await?;
        if n % 2 == 0 {
            bench.record(&key, token, &Answer::new(200, "expires")).await?;
        }
        rows.push((key, token));
    }
    bench.wait(2).await;
    Ok(rows)
}

/// Sweeps until nothing is left. Others may sweep the same store, and may leave rows to it, so a count proves nothing
/// beyond that something was deleted.
async fn sweep_all(bench: &Bench) -> Checked<u64> {
    const BATCH: u32 = 1000;
    let mut deleted = 0;
    for _ in 0..100 {
        let batch = bench.sweep(BATCH).await?;
        ensure!(batch <= u64::from(BATCH), "a sweep with limit {BATCH} deleted {batch} rows");
        deleted += batch;
        if batch == 0 {
            break;
        }
    }
    Ok(deleted)
}

fn offered(bench: &Bench, deleted: u64) -> Checked {
    if deleted > 0 || bench.suite.every_method { Ok(()) } else { Err(Stop::NotOffered("`sweep` deletes nothing")) }
}

pub(super) async fn sweep_deletes_expired_rows_only(bench: Bench) -> Checked {
    let answer = Answer::new(200, "stays");
    let in_flight = bench.take("in flight", A, LONG, "a fresh key").await?;
    let finished = bench.take("finished", A, LONG, "a fresh key").await?;
    bench.record("finished", finished, &answer).await?;
    bench.lease("silent", A, bench.unit, LONG, "a fresh key").await?;

    let mut deleted = 0;
    for round in 0..3 {
        let rows = expired_rows(&bench, &format!("round {round}")).await?;
        deleted += sweep_all(&bench).await?;
        if bench.leases && (deleted > 0 || bench.suite.every_method) {
            for (key, token) in rows {
                let seen = bench.finish(&key, token, &answer).await?;
                ensure!(seen == LeaseState::Lost, "an expired row is still there after a sweep that had room for it");
            }
        }
    }

    bench.in_flight("in flight", A, "a running reservation after a sweep").await?;
    bench.replays("finished", A, &answer, "a record after a sweep").await?;
    if bench.leases {
        bench.attempt("silent", A, 2, "a lease that ended, of a row that a sweep has to leave").await?;
    }
    bench.freeze("in flight", in_flight, &answer, "a reservation that was finished after a sweep").await?;
    offered(&bench, deleted)
}

pub(super) async fn sweep_respects_its_limit(bench: Bench) -> Checked {
    let mut deleted = 0;
    for round in 0..3 {
        expired_rows(&bench, &format!("round {round}")).await?;
        for limit in [0, 1, 5] {
            let swept = bench.sweep(limit).await?;
            ensure!(swept <= u64::from(limit), "a sweep with limit {limit} deleted {swept} rows");
            deleted += swept;
        }
    }
    offered(&bench, deleted)
}
