//! The connection by which reservations are renewed, recorded and released.
//!
//! Handlers may hold all connections of the application's pool for longer than a lease. If renewals stood behind them,
//! the keys of those very handlers would be taken over. So there is one connection beside the pool:
//!
//! ```text
//! the pool's queue   │ enters ──────────────────── keeps its place ──────────────────────── gives up (acquire_timeout)
//! the queue aside    │        enters after 50 ms ── is first: connects, fails, again ── had: the other place is given up
//! ```
//!
//! - A call takes its place in the pool's queue, and keeps it. After [`ASIDE_DELAY`] it takes a place in the queue for
//!   the connection aside as well. Whoever is first there connects, again and again where that fails.
//! - Whichever comes first is used, and the other place is given up.
//! - Where the pool gives up, the call goes on in the other queue; an attempt to connect that fails from then on is its
//!   answer.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How long the pool alone is asked.
const ASIDE_DELAY: Duration = Duration::from_millis(50);

/// An attempt to connect aside ends after this long. It bounds sqlx's pauses within an attempt to a fifth, so that a
/// database that is back is found within a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection aside that nobody has used for this long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// The application's pool, and one connection beside it.
#[derive(Debug, Clone)]
pub(super) struct PriorityPool {
    pool: PgPool,
    /// Whoever has the lock has the connection. Unlike sqlx's own queue, this one has no timeout.
    aside: Arc<Mutex<Option<PgPool>>>,
}

/// A connection of either sort.
pub(super) struct PriorityConnection {
    pub(super) connection: PoolConnection<Postgres>,
    _aside: Option<OwnedMutexGuard<Option<PgPool>>>,
}

impl PriorityPool {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, aside: Arc::default() }
    }

    pub(super) async fn acquire(&self) -> Result<PriorityConnection, sqlx::Error> {
        let has_given_up = AtomicBool::new(false);
        // On the heap, as sqlx has them: they are large. The second one is hardly ever made.
        let of_pool = Box::pin(self.pool.acquire());
        let mut aside = pin!(async {
            tokio::time::sleep(ASIDE_DELAY).await;
            Box::pin(self.acquire_aside(&has_given_up)).await
        });
        tokio::select! {
            biased;
            acquired = of_pool => match acquired {
                Ok(connection) => return Ok(PriorityConnection { connection, _aside: None }),
                Err(sqlx::Error::PoolTimedOut) => has_given_up.store(true, Ordering::Relaxed),
                Err(error) => return Err(error),
            },
            acquired = &mut aside => return acquired,
        }
        aside.await
    }

    async fn acquire_aside(&self, pool_has_given_up: &AtomicBool) -> Result<PriorityConnection, sqlx::Error> {
        let mut turn = Arc::clone(&self.aside).lock_owned().await;
        // Whoever comes this way has no time for a connection that is dead, so it is tested before.
        let aside = turn.get_or_insert_with(|| beside(&self.pool, 1, true)).clone();
        loop {
            // The application may have changed its password meanwhile.
            aside.set_connect_options((*self.pool.connect_options()).clone());
            match aside.acquire().await {
                Ok(connection) => return Ok(PriorityConnection { connection, _aside: Some(turn) }),
                Err(error) if pool_has_given_up.load(Ordering::Relaxed) => return Err(error),
                Err(_) => tokio::time::sleep(ASIDE_DELAY).await,
            }
        }
    }
}

/// A pool with the hooks of the application's, which is closed with it.
pub(super) fn beside(pool: &PgPool, max_connections: u32, test_before_acquire: bool) -> PgPool {
    let options = pool.options().clone().max_connections(max_connections).min_connections(0);
    let aside = options
        .acquire_timeout(CONNECT_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .test_before_acquire(test_before_acquire)
        .connect_lazy_with((*pool.connect_options()).clone());
    let (closing, closed) = (aside.clone(), pool.close_event());
    tokio::spawn(async move {
        closed.await;
        closing.close().await;
    });
    aside
}
