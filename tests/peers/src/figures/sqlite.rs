//! Reserve, then complete, on a file: what sharing commits is worth there. Published peers have no store for SQLite.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use cratestack_runtime::{SqliteStore, async_trait};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::Fallible;
use crate::figure::{Contender, Figure, Measure};
use crate::figures::our_round;
use crate::load::{Call, Load, drive};
use crate::sample::{Quantity, Sample};
use crate::traffic::{BODY, new_key};

const CONNECTIONS: u32 = 8;

pub async fn sqlite() -> Fallible<Vec<Figure>> {
    let file = Arc::new(File::create().await?);
    let contender = |name, on| {
        let store = SqliteStore::new(file.pool.clone()).group_commit(on);
        Box::new(OnFile { name, store, file: Arc::clone(&file) }) as Box<dyn Contender>
    };
    let figure = |callers| Figure {
        name: format!("sqlite-{callers}"),
        title: format!("reserve + complete on an SQLite file, callers: {callers}"),
        callers,
        rate: None,
        contenders: vec![contender("ours, SQLite", true), contender("ours, SQLite, group commit off", false)],
        measures: vec![
            Measure::ratio(Quantity::Throughput, None),
            Measure::ratio(Quantity::P50, None),
            Measure::ratio(Quantity::P99, None),
        ],
    };
    Ok([1, 16, 64].map(figure).into())
}

/// A database whose commits reach the disk. It goes with the last of those that use it.
struct File {
    folder: PathBuf,
    pool: SqlitePool,
}

impl File {
    async fn create() -> Fallible<Self> {
        let folder = std::env::temp_dir().join(format!("cratestack-peers-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder)?;
        let options = SqliteConnectOptions::new()
            .filename(folder.join("peers.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?;
        SqliteStore::new(pool.clone()).migrate().await?;
        Ok(Self { folder, pool })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What is left is the system's to clean up.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct OnFile {
    name: &'static str,
    store: SqliteStore,
    file: Arc<File>,
}

#[async_trait]
impl Contender for OnFile {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    async fn prepare(&self) -> Fallible {
        let empty = "DELETE FROM cratestack_idempotency; PRAGMA wal_checkpoint(TRUNCATE);";
        sqlx::raw_sql(empty).execute(&self.file.pool).await?;
        Ok(())
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let store = self.store.clone();
        drive(load, move || {
            let store = store.clone();
            async move {
                let key = new_key();
                let begun = Instant::now();
                our_round(&store, &key, &BODY).await?;
                Ok(Call::Took(begun.elapsed()))
            }
        })
        .await
    }
}
