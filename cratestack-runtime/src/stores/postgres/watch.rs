//! How a process learns that a key which another process holds was completed or released.
//!
//! NOTIFY serialises the commits that use it, so a completion that nobody waits for must not. Whoever waits therefore
//! holds a shared advisory lock on the key, in the session that listens, and a completion tries the same lock
//! exclusively: where that fails, somebody waits, and is notified. Both the lock and the payload are 64 bits of a hash,
//! which tell nothing; that two keys may share them costs a question too many.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use crate::Watch;

pub(super) const CHANNEL: &str = "cratestack_idempotency";

/// A listener that nobody has used for this long gives its connection back.
const IDLE: Duration = Duration::from_secs(60);

/// The advisory lock, and the payload, that stand for a key of `table`.
///
/// By the table's name alone: of two services one may name the schema and the other find it by its search path.
pub(super) fn lock_of(table: &str, principal: &str, key: &str) -> i64 {
    let mut hasher = Sha256::new();
    for part in [table, principal, key] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    digest.iter().take(8).fold(0, |lock, byte| (lock << 8) | i64::from(*byte))
}

/// One listening session for all the keys that this process waits for; there while somebody waits, and a while longer.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    session: Mutex<Option<mpsc::UnboundedSender<Command>>>,
}

#[derive(Debug)]
enum Command {
    Enter { lock: i64, changed: oneshot::Sender<()>, entered: oneshot::Sender<()> },
    Leave { lock: i64 },
}

impl Watcher {
    /// Returns once changes of the key will be told; `None` where this server does not let us listen.
    pub(super) async fn watch(&self, pool: &PgPool, lock: i64) -> Option<Watch> {
        let (changed, change) = oneshot::channel();
        let (entered, is_in) = oneshot::channel();
        let commands = self.send(pool, Command::Enter { lock, changed, entered });
        is_in.await.ok()?;
        let leave = Leave { lock, commands };
        Some(Watch::new(async move {
            let _leave = leave;
            // An error is the end of the session, which is news as well: ask, and watch anew.
            let _ = change.await;
        }))
    }

    fn send(&self, pool: &PgPool, command: Command) -> mpsc::UnboundedSender<Command> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
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
        tokio::spawn(listen(pool.clone(), inbox));
        session.insert(commands).clone()
    }
}

/// Takes a waiter out when its watch is dropped.
struct Leave {
    lock: i64,
    commands: mpsc::UnboundedSender<Command>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        // A session that is over holds nothing.
        let _ = self.commands.send(Command::Leave { lock: self.lock });
    }
}

/// Ends with its connection, or when nobody has waited for a while. Dropping what it holds tells all who wait.
async fn listen(pool: PgPool, inbox: mpsc::UnboundedReceiver<Command>) {
    if let Err(error) = serve(&pool, inbox).await {
        debug!(%error, "idempotency waiters are on their own: the listening session ended");
    }
}

async fn serve(pool: &PgPool, mut inbox: mpsc::UnboundedReceiver<Command>) -> Result<(), sqlx::Error> {
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
    let mut waiting = Waiting::new();
    loop {
        tokio::select! {
            command = inbox.recv() => match command {
                None => return Ok(()),
                Some(Command::Enter { lock, changed, entered }) => {
                    let here = waiting.entry(lock).or_default();
                    if here.is_empty() {
                        // Waits at most for a completion that is about to commit.
                        sqlx::query("SELECT pg_advisory_lock_shared($1)").bind(lock).execute(&mut listener).await?;
                    }
                    here.push(changed);
                    if entered.send(()).is_err() {
                        // Gone while it waited for this; nobody else will say so.
                        leave(&mut listener, &mut waiting, lock).await?;
                    }
                }
                Some(Command::Leave { lock }) => leave(&mut listener, &mut waiting, lock).await?,
            },
            notification = listener.try_recv() => match notification? {
                None => return Ok(()),
                Some(notification) => {
                    let Ok(lock) = notification.payload().parse() else { continue };
                    if let Some(here) = waiting.remove(&lock) {
                        unlock(&mut listener, lock).await?;
                        for changed in here {
                            let _ = changed.send(());
                        }
                    }
                }
            },
            () = tokio::time::sleep(IDLE), if waiting.is_empty() => return Ok(()),
        }
    }
}

type Waiting = HashMap<i64, Vec<oneshot::Sender<()>>>;

/// Takes out whoever of this lock has gone.
async fn leave(listener: &mut PgListener, waiting: &mut Waiting, lock: i64) -> Result<(), sqlx::Error> {
    if let Some(here) = waiting.get_mut(&lock) {
        here.retain(|changed| !changed.is_closed());
        if here.is_empty() {
            waiting.remove(&lock);
            return unlock(listener, lock).await;
        }
    }
    Ok(())
}

async fn unlock(listener: &mut PgListener, lock: i64) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_unlock_shared($1)").bind(lock).execute(listener).await.map(drop)
}
