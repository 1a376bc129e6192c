//! How a process learns that a key which another process holds was completed or released.
//!
//! NOTIFY serialises the commits that use it, so a completion that nobody waits for must not. The keys of a table fall
//! into [`BUCKETS`](super::lock::BUCKETS) buckets, and an advisory lock stands for each of them: however many keys are
//! awaited, no more locks are held for it in the whole cluster. Nobody ever waits for such a lock, so whoever else
//! holds one holds up nobody.
//!
//! ```text
//! waiter     │ LISTEN ── lock, exclusive: got it ── looks: in flight, sleeps ───────────── told: looks: finished
//! completion │                                        writes ── lock, shared: no ── NOTIFY, COMMIT ──┘
//!
//! waiter     │ LISTEN ── lock, exclusive: no ────────── again: no ────── again: got it ── looks: finished
//! completion │ writes ── lock, shared: got it, keeps it ───────── COMMIT ──┘ (nobody waited: no NOTIFY)
//! ```
//!
//! - A notification bears the key's number, and every process that waits for the key looks again.
//! - A lock that is not to be had is tried again every [`LOCK_RETRY_INTERVAL`].
//! - A second process that waits in the bucket finds the lock held exclusively, and is notified as well. When the first
//!   one leaves, a completion notifies nobody, until the second one gets the lock and looks at each of its keys.
//! - Where a third process takes the lock between two tries of the second one, the second one does not see that gap.
//!   Its caller's own slow poll does.
//! - Where the lock stays shared (a commit that takes its time, or a session that is none of ours), no completion in
//!   the bucket notifies. The waiter looks at its keys once a second.
//!
//! Both the bucket and the number are bits of a hash, which tell nothing; that two keys may share them costs a question
//! too many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};
use uuid::Uuid;

use super::lock::{CHANNEL, bucket_of};
use crate::store::Watch;
use crate::util;

/// A listener that nobody has used for this long gives its connection back.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a lock that was not to be had is tried again, and those that nobody needs are given back.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// After so many tries without anybody's lock, those who wait look for themselves.
const MAX_TRIES_UNHELD: u32 = 4;

/// How many waiters come and go with one statement.
const MAX_COMMANDS: usize = 1024;

/// How long a notification of our own may take to come back.
const ECHO_TIMEOUT: Duration = Duration::from_secs(1);
/// Where it does not, nobody listens for this long.
const NOTIFY_RETRY_AFTER: Duration = Duration::from_secs(600);

/// One listening session for all the keys that this process waits for; there while somebody waits, and a while longer.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    session: Mutex<Option<mpsc::UnboundedSender<Command>>>,
    polling_until: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug)]
enum Command {
    Subscribe { lock: i64, changed: oneshot::Sender<()>, subscribed: oneshot::Sender<()> },
    Unsubscribe { lock: i64 },
}

impl Watcher {
    /// Returns once changes of the key will be told; `None` where this server does not let us listen.
    pub(super) async fn watch(&self, pool: &PgPool, class: i32, lock: i64) -> Option<Watch> {
        if util::lock(&self.polling_until).is_some_and(|end| Instant::now() < end) {
            return None;
        }
        let (changed, change) = oneshot::channel();
        let (subscribed, is_subscribed) = oneshot::channel();
        let commands = self.send(pool, class, Command::Subscribe { lock, changed, subscribed });
        let mut subscription = Subscription { lock, change: Some(change), commands };
        is_subscribed.await.ok()?;
        Some(Watch::new(async move {
            if let Some(change) = &mut subscription.change {
                // An error is the end of the session, which is news as well: ask, and watch anew.
                let _ = change.await;
            }
        }))
    }

    fn send(&self, pool: &PgPool, class: i32, command: Command) -> mpsc::UnboundedSender<Command> {
        let mut session = util::lock(&self.session);
        let command = match session.as_ref() {
            Some(commands) => match commands.send(command) {
                Ok(()) => return commands.clone(),
                Err(mpsc::error::SendError(command)) => command,
            },
            None => command,
        };
        let (commands, inbox) = mpsc::unbounded_channel();
        // The receiver is in hand, so this arrives.
        let _ = commands.send(command);
        let (pool, polling_until) = (pool.clone(), Arc::clone(&self.polling_until));
        tokio::spawn(async move {
            if let Err(error) = listen(&pool, class, inbox, &polling_until).await {
                debug!(%error, "idempotency waiters are on their own: the listening session ended");
            }
        });
        session.insert(commands).clone()
    }
}

/// Leaves when it is dropped.
struct Subscription {
    lock: i64,
    change: Option<oneshot::Receiver<()>>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // First, as the session looks for those whose receiver has gone.
        self.change = None;
        // A session that is over holds nothing.
        let _ = self.commands.send(Command::Unsubscribe { lock: self.lock });
    }
}

/// Ends with its connection, or when nobody has waited for a while. Dropping what it holds tells all who wait.
async fn listen(
    pool: &PgPool,
    class: i32,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    polling_until: &Mutex<Option<Instant>>,
) -> Result<(), sqlx::Error> {
    // A connection of its own: one of the pool's would be missing there, and a pool of one would be empty.
    let own = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with((*pool.connect_options()).clone());
    let mut listener = PgListener::connect_with(&own).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    if !receives_notifications(&mut listener, pool).await? {
        warn!(
            "idempotency waiters poll: notifications do not arrive over this connection. A pooler in transaction mode, as \
             PgBouncer has it, is the usual cause"
        );
        *util::lock(polling_until) = Some(Instant::now() + NOTIFY_RETRY_AFTER);
        return Ok(());
    }
    let mut session = ListenSession { listener, class, buckets: HashMap::new() };
    let mut commands = Vec::new();
    let mut retry = tokio::time::interval(LOCK_RETRY_INTERVAL);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            received = inbox.recv_many(&mut commands, MAX_COMMANDS) => match received {
                0 => return Ok(()),
                _ => session.follow(commands.drain(..)).await?,
            },
            notification = session.listener.try_recv() => match notification? {
                None => return Ok(()),
                Some(notification) => {
                    if let Ok(lock) = notification.payload().parse() {
                        session.wake(lock);
                    }
                }
            },
            _ = retry.tick(), if !session.is_settled() => session.retry().await?,
            () = tokio::time::sleep(IDLE_TIMEOUT), if session.buckets.is_empty() => return Ok(()),
        }
    }
}

/// Whether what another session notifies arrives here.
///
/// A pooler that lends its sessions for a transaction takes a `LISTEN` and delivers nothing. Worse, a lock that is
/// taken in one of them and given back in another stays for good, so this is found out before the first one.
async fn receives_notifications(listener: &mut PgListener, pool: &PgPool) -> Result<bool, sqlx::Error> {
    let echo = format!("echo {}", Uuid::new_v4());
    let mut other = PgConnection::connect_with(&pool.connect_options()).await?;
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(&echo).execute(&mut other).await?;
    other.close().await?;
    let received = async {
        while let Some(notification) = listener.try_recv().await? {
            if notification.payload() == echo {
                return Ok(true);
            }
        }
        Ok(false)
    };
    tokio::time::timeout(ECHO_TIMEOUT, received).await.unwrap_or(Ok(false))
}

/// The listening session, and who waits for what.
struct ListenSession {
    listener: PgListener,
    class: i32,
    buckets: HashMap<i32, Bucket>,
}

#[derive(Default)]
struct Bucket {
    holder: LockHolder,
    tries_unheld: u32,
    waiting: HashMap<i64, Vec<oneshot::Sender<()>>>,
}

/// Who holds a bucket's lock exclusively, so that its completions notify.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum LockHolder {
    #[default]
    Untried,
    Ours,
    Another,
    Nobody,
}

impl Bucket {
    fn wake_all(&mut self) {
        for changed in self.waiting.drain().flat_map(|(_, waiting)| waiting) {
            let _ = changed.send(());
        }
    }

    /// Forgets who no longer waits for this key.
    fn forget_cancelled(&mut self, lock: i64) {
        if let Some(waiting) = self.waiting.get_mut(&lock) {
            waiting.retain(|changed| !changed.is_closed());
            if waiting.is_empty() {
                self.waiting.remove(&lock);
            }
        }
    }
}

impl ListenSession {
    async fn follow(&mut self, commands: impl Iterator<Item = Command>) -> Result<(), sqlx::Error> {
        let mut subscribing = Vec::new();
        for command in commands {
            match command {
                Command::Subscribe { lock, changed, subscribed } => {
                    let bucket = self.buckets.entry(bucket_of(lock)).or_default();
                    bucket.waiting.entry(lock).or_default().push(changed);
                    subscribing.push(subscribed);
                }
                Command::Unsubscribe { lock } => {
                    if let Some(bucket) = self.buckets.get_mut(&bucket_of(lock)) {
                        bucket.forget_cancelled(lock);
                    }
                }
            }
        }
        let untried = self.find(|bucket| bucket.holder == LockHolder::Untried);
        for (bucket, holder) in self.try_locks(untried).await? {
            if let Some(bucket) = self.buckets.get_mut(&bucket) {
                // Who enters looks at its key afterwards, so there is nothing to tell.
                bucket.holder = holder;
            }
        }
        for subscribed in subscribing {
            // Whoever has gone meanwhile leaves by a command of its own.
            let _ = subscribed.send(());
        }
        Ok(())
    }

    fn wake(&mut self, lock: i64) {
        let Some(bucket) = self.buckets.get_mut(&bucket_of(lock)) else { return };
        for changed in bucket.waiting.remove(&lock).unwrap_or_default() {
            let _ = changed.send(());
        }
    }

    /// Whether there is nothing to do while nothing happens.
    fn is_settled(&self) -> bool {
        self.buckets.values().all(|bucket| bucket.holder == LockHolder::Ours && !bucket.waiting.is_empty())
    }

    /// Gives back what nobody needs any more, and tries again what could not be had.
    ///
    /// A lock is kept until then: those who were told look, and many of them come back.
    async fn retry(&mut self) -> Result<(), sqlx::Error> {
        let unneeded = self.find(|bucket| bucket.holder == LockHolder::Ours && bucket.waiting.is_empty());
        self.buckets.retain(|_, bucket| !bucket.waiting.is_empty());
        if !unneeded.is_empty() {
            sqlx::query("SELECT pg_advisory_unlock($1, bucket) FROM UNNEST($2::int[]) AS bucket")
                .bind(self.class)
                .bind(unneeded)
                .execute(&mut self.listener)
                .await?;
        }
        let wanted = self.find(|bucket| bucket.holder != LockHolder::Ours);
        for (bucket, holder) in self.try_locks(wanted).await? {
            let Some(bucket) = self.buckets.get_mut(&bucket) else { continue };
            let before = std::mem::replace(&mut bucket.holder, holder);
            if holder == LockHolder::Nobody {
                bucket.tries_unheld += 1;
            }
            // A completion since the last try may have notified nobody.
            if holder == LockHolder::Ours
                || (holder == LockHolder::Another && before != LockHolder::Another)
                || bucket.tries_unheld >= MAX_TRIES_UNHELD
            {
                bucket.tries_unheld = 0;
                bucket.wake_all();
            }
        }
        Ok(())
    }

    fn find(&self, is_meant: impl Fn(&Bucket) -> bool) -> Vec<i32> {
        self.buckets.iter().filter(|(_, bucket)| is_meant(bucket)).map(|(number, _)| *number).collect()
    }

    /// Who holds these locks after we have tried to. Waits for none of them.
    ///
    /// A lock that cannot be had even shared is held exclusively.
    async fn try_locks(&mut self, buckets: Vec<i32>) -> Result<Vec<(i32, LockHolder)>, sqlx::Error> {
        if buckets.is_empty() {
            return Ok(Vec::new());
        }
        let tried: Vec<(i32, Option<bool>)> = sqlx::query_as(
            "SELECT bucket, CASE WHEN pg_try_advisory_lock($1, bucket) THEN TRUE
                WHEN pg_try_advisory_lock_shared($1, bucket) THEN NOT pg_advisory_unlock_shared($1, bucket) END
            FROM UNNEST($2::int[]) AS bucket",
        )
        .bind(self.class)
        .bind(buckets)
        .fetch_all(&mut self.listener)
        .await?;
        let holder = |is_ours| match is_ours {
            Some(true) => LockHolder::Ours,
            Some(false) => LockHolder::Nobody,
            None => LockHolder::Another,
        };
        Ok(tried.into_iter().map(|(bucket, is_ours)| (bucket, holder(is_ours))).collect())
    }
}
