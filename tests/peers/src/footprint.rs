//! What each finished key leaves behind: in WAL, table and indexes, by their bodies and by how the server keeps them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cratestack_runtime::{Claim, ClaimOutcome, Completion, Idempotency, IdempotencyStore, PostgresStore, async_trait};
use cratestack_sqlx::SqlxIdempotencyStore;
use futures_util::future::BoxFuture;

use crate::Fallible;
use crate::figures::{KINDS, of_storage, our_round, their_round};
use crate::growth::View;
use crate::network::Network;
use crate::postgres::PostgresServer;
use crate::report::Fact;
use crate::server::{Ours, Theirs};
use crate::traffic::{BODY, HASH, HEADERS, PRINCIPAL, STATUS, new_key};

const CALLERS: usize = 16;
const WRITTEN_SO_FAR: &str = "SELECT pg_current_wal_insert_lsn() - '0/0'";

/// The bytes that a figure writes.
const WRITTEN: usize = 32 * 1024 * 1024;

const STORAGES: [(&str, &str); 3] =
    [("pglz", "COMPRESSION pglz"), ("lz4", "COMPRESSION lz4"), ("not compressed", "STORAGE EXTERNAL")];

pub async fn bodies(ours: &Ours, facts: &mut Vec<Fact>) -> Fallible {
    for (name, clause) in STORAGES {
        let at = of_storage(ours.another().await?, clause).await?;
        let view = View(Ours::clone(&at));
        for kind in KINDS {
            for size in [4 * 1024, 16 * 1024, 256 * 1024] {
                at.empty().await?;
                let body = kind.of(size);
                let keys = WRITTEN / size;
                let before = view.number(WRITTEN_SO_FAR).await?;
                let store = at.store();
                repeat(keys, move |_| -> BoxFuture<'static, Fallible> {
                    let (store, body) = (store.clone(), body.clone());
                    Box::pin(async move { our_round(&store, &new_key(), &body).await })
                })
                .await?;
                let wal = view.number(WRITTEN_SO_FAR).await? - before;
                let table = view.number("SELECT pg_table_size('cratestack_idempotency')").await?;
                let of = format!("{size} bytes, {}, {name}", kind.name());
                #[allow(clippy::cast_precision_loss)]
                let keys = keys as f64;
                facts.push(Fact { what: "bytes of WAL per outcome", of: of.clone(), value: wal / keys });
                facts.push(Fact { what: "bytes of table per outcome", of, value: table / keys });
            }
        }
    }
    Ok(())
}

/// Runs `count` calls by sixteen callers, as fast as they go.
async fn repeat<F>(count: usize, call: F) -> Fallible
where
    F: Fn(usize) -> BoxFuture<'static, Fallible> + Clone + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (call, next) = (call.clone(), Arc::clone(&next));
        callers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Fallible::Ok(());
                }
                call(n).await?;
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

/// Bytes of WAL, table and indexes for each finished key.
pub async fn keys(ours: &Ours, theirs: &Theirs, facts: &mut Vec<Fact>) -> Fallible {
    const KEYS: usize = 100_000;
    let store = ours.store();
    let our_call = move |_| -> BoxFuture<'static, Fallible> {
        let store = store.clone();
        Box::pin(async move { our_round(&store, &new_key(), &BODY).await })
    };
    let store = theirs.store();
    let their_call = move |_| -> BoxFuture<'static, Fallible> {
        let store = store.clone();
        Box::pin(async move { their_round(&store, &new_key(), &BODY).await })
    };
    let their_view = View::of(theirs).await?;
    let our_view = View(ours.clone());
    for (who, view) in [("ours", &our_view), ("cratestack-sqlx", &their_view)] {
        eprintln!("growth-keys: {KEYS} keys, {who}");
        view.0.execute("CHECKPOINT").await?;
        let before = view.number(WRITTEN_SO_FAR).await?;
        if who == "ours" {
            repeat(KEYS, our_call.clone()).await?;
        } else {
            repeat(KEYS, their_call.clone()).await?;
        }
        let wal = view.number(WRITTEN_SO_FAR).await? - before;
        let table = view.number("SELECT pg_table_size('cratestack_idempotency')").await?;
        let indexes = view.number("SELECT pg_indexes_size('cratestack_idempotency')").await?;
        #[allow(clippy::cast_precision_loss)]
        for (what, bytes) in [
            ("bytes of WAL per finished key", wal),
            ("bytes of table per finished key", table),
            ("bytes of indexes per finished key", indexes),
        ] {
            facts.push(Fact { what, of: who.to_owned(), value: bytes / KEYS as f64 });
        }
    }
    Ok(())
}

/// An hour of 100 requests a second, as fast as it goes: each twentieth is retried, outcomes are kept for five seconds,
/// what has expired is swept every second, and autovacuum looks every second.
pub async fn hour(ours: &Ours, theirs: &Theirs, facts: &mut Vec<Fact>) -> Fallible {
    hour_of("ours", &ours.store(), &View(ours.clone()), facts).await?;
    hour_of("cratestack-sqlx", &theirs.store(), &View::of(theirs).await?, facts).await
}

async fn hour_of(who: &str, store: &impl Kept, view: &View, facts: &mut Vec<Fact>) -> Fallible {
    const REQUESTS: usize = 360_000;
    const KEPT: Duration = Duration::from_secs(5);
    eprintln!("growth-hour: {REQUESTS} requests, {who}");
    let begun = Instant::now();
    let wal_before = view.number(WRITTEN_SO_FAR).await?;
    let sweeping = {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if let Err(error) = store.swept().await {
                    eprintln!("sweeping: {error}");
                }
            }
        })
    };
    let store = store.clone();
    repeat(REQUESTS, move |n| {
        let store = store.clone();
        Box::pin(async move {
            let key = new_key();
            for _ in 0..=usize::from(n.is_multiple_of(20)) {
                store.asked(&key, KEPT).await?;
            }
            Ok(())
        })
    })
    .await?;
    sweeping.abort();
    // The server's statistics are a second behind.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stat = "FROM pg_stat_user_tables WHERE relname = 'cratestack_idempotency'";
    let hot = "SELECT 100.0 * n_tup_hot_upd / GREATEST(n_tup_upd, 1)";
    let mut add = |what, value| {
        eprintln!("{what}: {value:.1}");
        facts.push(Fact { what, of: who.to_owned(), value });
    };
    add("after an hour's worth of traffic: seconds it took", begun.elapsed().as_secs_f64() - 2.0);
    #[allow(clippy::cast_precision_loss)]
    add("… bytes of WAL per request", (view.number(WRITTEN_SO_FAR).await? - wal_before) / REQUESTS as f64);
    add("… dead tuples", view.number(&format!("SELECT n_dead_tup {stat}")).await?);
    add("… live tuples", view.number(&format!("SELECT n_live_tup {stat}")).await?);
    add("… HOT updates, %", view.number(&format!("{hot} {stat}")).await?);
    add("… runs of autovacuum", view.number(&format!("SELECT autovacuum_count {stat}")).await?);
    add("… bytes of table", view.number("SELECT pg_table_size('cratestack_idempotency')").await?);
    add("… bytes of indexes", view.number("SELECT pg_indexes_size('cratestack_idempotency')").await?);
    Ok(())
}

/// What leaves room on a page for the outcomes of its reservations.
pub async fn fillfactors(server: &PostgresServer, connections: u32, facts: &mut Vec<Fact>) -> Fallible {
    for fillfactor in [100, 90, 75, 60, 45] {
        let ours = Ours::create(server, &Network::default(), connections).await?;
        ours.execute(&format!("ALTER TABLE cratestack_idempotency SET (fillfactor = {fillfactor})")).await?;
        hour_of(&format!("ours, fillfactor {fillfactor}"), &ours.store(), &View(ours.clone()), facts).await?;
    }
    Ok(())
}

/// A store that is asked for the same key once or more, and sweeps.
#[async_trait]
trait Kept: Clone + Send + Sync + 'static {
    async fn asked(&self, key: &str, kept: Duration) -> Fallible;
    async fn swept(&self) -> Fallible;
}

#[async_trait]
impl Kept for PostgresStore {
    async fn asked(&self, key: &str, kept: Duration) -> Fallible {
        let claim = Claim { principal: PRINCIPAL, key, request_hash: HASH, lease: kept, retention: kept };
        if let ClaimOutcome::Reserved { token, .. } = self.reserve(claim).await? {
            let completion =
                Completion { principal: PRINCIPAL, key, token, status: STATUS, headers: &HEADERS, body: &BODY };
            self.finish(completion).await?;
        }
        Ok(())
    }

    async fn swept(&self) -> Fallible {
        Idempotency::new(self.clone()).sweep().await?;
        Ok(())
    }
}

#[async_trait]
impl Kept for SqlxIdempotencyStore {
    async fn asked(&self, key: &str, kept: Duration) -> Fallible {
        use cratestack_axum::idempotency::{IdempotencyStore as _, ReservationOutcome};
        let expires_at = std::time::SystemTime::now() + kept;
        let reserved = self.reserve_or_fetch(PRINCIPAL, key, HASH, expires_at).await;
        if let ReservationOutcome::Reserved { token } = reserved.map_err(|error| error.to_string())? {
            let completed = self.complete(PRINCIPAL, key, token, STATUS, &HEADERS, &BODY).await;
            completed.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn swept(&self) -> Fallible {
        self.garbage_collect().await.map_err(|error| error.to_string())?;
        Ok(())
    }
}
