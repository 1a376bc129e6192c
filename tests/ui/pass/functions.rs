//! Functions that are no handlers, in every shape, under lints that a crate may turn on.

#![deny(warnings, clippy::all, clippy::pedantic, rust_2018_idioms, single_use_lifetimes, unused, unused_qualifications)]
#![deny(elided_lifetimes_in_paths, let_underscore_drop, missing_docs, trivial_casts, unreachable_pub)]
#![allow(clippy::unused_async, clippy::missing_errors_doc)]

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use cratestack_runtime::{
    GuardError, Idempotency, InTransaction, PostgresStore, Reservation, SqliteStore, Tx, idempotent,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, Sqlite};

type Guarded<T> = Result<T, GuardError>;

/// What a charge leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt {
    /// Of which order.
    pub order: u64,
}

/// Its error is recorded too.
#[derive(Debug, Serialize, Deserialize)]
pub enum ChargeError {
    /// By the provider.
    Declined,
    /// By the guard, which is not recorded.
    #[serde(skip)]
    Guard(GuardError),
}

impl From<GuardError> for ChargeError {
    fn from(error: GuardError) -> Self {
        Self::Guard(error)
    }
}

/// It consumes.
#[derive(Debug, Clone)]
pub struct Consumer {
    idempotency: Idempotency,
    in_postgres: Idempotency<PostgresStore>,
}

impl Consumer {
    /// Borrows.
    #[idempotent(name = "by_reference", handle = self.idempotency, key = order, fingerprint = cents)]
    pub async fn by_reference(&self, order: u64, cents: u64) -> Guarded<Receipt> {
        let _ = cents;
        Ok(Receipt { order })
    }

    /// Changes what it borrows.
    #[idempotent(name = "by_mutable", handle = &self.idempotency, key = (order, "EUR"))]
    pub async fn by_mutable(&mut self, order: u64) -> Guarded<u64> {
        self.idempotency = self.idempotency.clone();
        Ok(order)
    }

    /// Runs on a task of its own.
    #[idempotent(name = "by_value", handle = self.idempotency, key = order.order, record = all)]
    pub async fn by_value(self: Arc<Self>, order: Receipt, reservation: Reservation) -> Result<Receipt, ChargeError> {
        if reservation.attempt() > 9 { Err(ChargeError::Declined) } else { Ok(order) }
    }

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

/// In a trait's `impl`.
pub trait Consumes {
    /// One message.
    fn consume(&self, message: &str) -> impl Future<Output = Guarded<usize>>;
    /// One message, behind a pointer.
    fn consume_boxed<'a>(&'a self, message: &'a str) -> Pin<Box<dyn Future<Output = Guarded<usize>> + Send + 'a>>;
}

impl Consumes for Consumer {
    #[idempotent(name = "consume", handle = self.idempotency, key = message)]
    async fn consume(&self, message: &str) -> Guarded<usize> {
        Ok(message.len())
    }

    #[idempotent(name = "consume", handle = self.idempotency, key = message)]
    fn consume_boxed<'a>(&'a self, message: &'a str) -> Pin<Box<dyn Future<Output = Guarded<usize>> + Send + 'a>> {
        Box::pin(async move { Ok(message.len()) })
    }
}

/// Generic; the key tells its instances apart.
#[idempotent(name = "generic", handle = handle, key = (kind, id))]
pub async fn generic<T>(handle: &Idempotency, kind: &str, id: u64, value: T) -> Guarded<T>
where
    T: Serialize + DeserializeOwned + Clone,
{
    let _ = (kind, id);
    Ok(value.clone())
}

/// What borrows need not be `Send`.
#[idempotent(name = "local", handle = handle, key = *id, principal = user, ttl = "1h", wait = "2s", lease = "5s")]
pub async fn local(handle: &Idempotency, id: Rc<u64>, user: &str) -> Guarded<u64> {
    let _ = user;
    Ok(*id)
}

/// A function that gives its future.
#[idempotent(name = "opaque", handle = handle, key = id, on_store_error = run)]
pub fn opaque(handle: Idempotency, id: u64) -> impl Future<Output = Guarded<u64>> {
    drop(handle);
    async move { Ok(id) }
}

/// In another database.
#[idempotent(name = "in_sqlite", handle = handle, key = id, transaction)]
pub async fn in_sqlite(handle: &Idempotency<SqliteStore>, id: u64, mut tx: Tx<Sqlite>) -> Guarded<u64> {
    let _connection = &mut *tx;
    Ok(id)
}

macro_rules! functions {
    ($($name:ident $text:literal,)*) => {$(
        /// Made by a macro.
        #[idempotent(name = $text, handle = handle, key = id)]
        pub async fn $name(handle: &Idempotency, id: u64) -> Guarded<u64> {
            Ok(id)
        }
    )*};
}

functions! { first "first", second "second", }

fn main() {
    // Callers pass what the guard does not supply.
    async fn calls(mut consumer: Consumer, sqlite: Idempotency<SqliteStore>) -> Result<(), ChargeError> {
        consumer.by_reference(7, 100).await?;
        consumer.by_mutable(7).await?;
        consumer.book(7).await?;
        consumer.steps(7).await?;
        consumer.consume("7").await?;
        consumer.consume_boxed("7").await?;
        let handle = consumer.idempotency.clone();
        Arc::new(consumer).by_value(Receipt { order: 7 }).await?;
        generic(&handle, "text", 7, String::new()).await?;
        local(&handle, Rc::new(7), "alice").await?;
        in_sqlite(&sqlite, 7).await?;
        first(&handle, 7).await?;
        second(&handle, 7).await?;
        opaque(handle, 7).await?;
        Ok(())
    }
    let _ = calls;
}
