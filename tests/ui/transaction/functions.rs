//! Functions that write in a transaction, and functions with steps that do.

#![deny(warnings, clippy::all, clippy::pedantic, rust_2018_idioms, single_use_lifetimes, unused, unused_qualifications)]
#![deny(elided_lifetimes_in_paths, let_underscore_drop, missing_docs, trivial_casts, unreachable_pub)]
#![allow(clippy::unused_async, clippy::missing_errors_doc)]

use cratestack_runtime::{
    GuardError, Idempotency, InTransaction, PostgresStore, Reservation, SqliteStore, TransactionalDatabase, Tx, idempotent,
};
use sqlx::{Postgres, Sqlite};

type Guarded<T> = Result<T, GuardError>;

/// It consumes.
#[derive(Debug, Clone)]
pub struct Consumer {
    in_postgres: Idempotency<PostgresStore>,
}

impl Consumer {
    /// What is supplied may stand anywhere.
    #[idempotent(name = "book", handle = self.in_postgres, key = order, transaction, commit = success, retry = 2)]
    pub async fn book(&self, tx: Tx<Postgres>, order: u64, reservation: Reservation<InTransaction>) -> Guarded<u64> {
        drop(tx);
        Ok(order + u64::from(reservation.attempt()))
    }

    /// With steps.
    #[idempotent(name = "steps", handle = self.in_postgres, key = order)]
    async fn steps(&self, order: u64, reservation: Reservation<Postgres>) -> Guarded<String> {
        Ok(reservation.derive(&order.to_string()).to_string())
    }
}

/// In another database.
#[idempotent(name = "in_sqlite", handle = handle, key = id, transaction)]
pub async fn in_sqlite(handle: &Idempotency<SqliteStore>, id: u64, mut tx: Tx<Sqlite>) -> Guarded<u64> {
    let _connection = &mut *tx;
    Ok(id)
}

/// In either database.
#[idempotent(name = "in_either", handle = handle, key = id, transaction, isolation = serializable)]
pub async fn in_either<DB: TransactionalDatabase>(handle: Idempotency<DB::Store>, id: u64, tx: Tx<DB>) -> Guarded<u64> {
    drop(tx);
    Ok(id)
}

fn main() {
    // Callers pass what the guard does not supply.
    async fn calls(consumer: Consumer, sqlite: Idempotency<SqliteStore>) -> Guarded<()> {
        consumer.book(7).await?;
        consumer.steps(7).await?;
        in_sqlite(&sqlite, 7).await?;
        in_either::<Sqlite>(sqlite, 7).await?;
        in_either::<Postgres>(consumer.in_postgres, 7).await?;
        Ok(())
    }
    let _ = calls;
}
