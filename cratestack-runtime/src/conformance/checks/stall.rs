//! What becomes of calls that wait for longer than the lease that they ask for.
//!
//! ```text
//! writes  │  stalled ──────────────────────────────┐ go on
//! calls   │     asked ── a lease ── it would end ──┴─ written ── a lease ── ends
//! ```

use super::super::bench::{A, Bench, Checked, LONG, Way, ensure};
use crate::store::LeaseState;

/// Several at once, so that calls which share a statement are among them.
const KEYS: usize = 8;
/// How long a lease lasts, and how long the calls wait, in units.
const LEASE: u32 = 4;
const WAIT: u32 = 6;

fn key(n: usize) -> String {
    format!("key {n}")
}

pub(super) async fn reservation_that_waited_is_leased_from_its_write(bench: Bench) -> Checked {
    for way in [Way::Required, Way::Extended] {
        let bench = Bench { way, ..bench.as_principal(&format!("{} {way}", bench.principal)) };
        let lives = bench.units(LEASE);
        // Half of the keys are taken over.
        for n in 0..KEYS / 2 {
            bench.take(&key(n), A, bench.unit, "a fresh key").await?;
        }
        bench.wait(2).await;
        let stall = bench.stall().await?;
        let reserving = bench.rush(KEYS, |bench: Bench, n| async move {
            bench.take(&key(n), A, lives, "a key that is fresh or whose reservation expired").await
        });
        let (reserved, leased) = tokio::join!(reserving, async {
            bench.wait(WAIT).await;
            let leased = bench.watch(lives);
            drop(stall);
            leased
        });
        reserved?;
        for wait in [0, LEASE - 2] {
            bench.wait(wait).await;
            for n in 0..KEYS {
                let why = "a reservation that waited for longer than its lease, within a lease of its write";
                leased.judge(bench.in_flight(&key(n), A, why).await)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn renewal_that_waited_holds_a_lease_that_lies_ahead(bench: Bench) -> Checked {
    let lease = bench.units(LEASE);
    let mut tokens = Vec::new();
    for n in 0..KEYS {
        tokens.push(bench.lease(&key(n), A, LONG, LONG, "a fresh key").await?.0);
    }
    let stall = bench.stall().await?;
    let renewing = bench.rush(KEYS, |bench: Bench, n| {
        let token = tokens[n];
        async move { bench.renew(&key(n), token, lease, LONG).await }
    });
    let (renewed, leased) = tokio::join!(renewing, async {
        bench.wait(WAIT).await;
        let leased = bench.watch(lease);
        drop(stall);
        leased
    });
    ensure!(
        renewed?.iter().all(|seen| *seen == LeaseState::Held),
        "a holder that renews a key of its own has to be told Held"
    );
    for wait in [0, LEASE - 2] {
        bench.wait(wait).await;
        for n in 0..KEYS {
            let why = "a renewal that waited for longer than its lease was answered Held, within a lease of its write";
            leased.judge(bench.in_flight(&key(n), A, why).await)?;
        }
    }
    Ok(())
}
