use std::fmt;
use std::future::{Ready, ready};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use crate::engine::TransactionSlot;
use crate::store::StoreDatabase;

/// The transaction that records the outcome, for the handler to write in: an argument of an
/// `#[idempotent(transaction)]` handler, at any place among them.
///
/// It derefs to sqlx's connection, so `&mut *tx` is what queries are executed on. What the handler writes with it and
/// the recorded outcome are committed together, or neither is:
///
/// - a response that is no error commits the writes;
/// - an error, a status from 400, undoes them and commits the record alone (or not even that, as `record` and
///   [`Unrecorded`](crate::Unrecorded) have it). `commit = all` keeps an error's writes;
/// - a panic, a handler that takes longer than its `lease`, or a process that dies undoes everything and frees the key
///   at once.
///
/// The type has no way to commit, to roll back or to take the connection out, and nothing is committed before it has
/// been dropped, which is when the handler ends; a task that was spawned with it and still runs is an error, and
/// everything is undone. Within it, `tx.begin()` of sqlx's `Connection` makes a savepoint. A statement that ends the
/// transaction by itself (`COMMIT`) is beyond what types can see: it is found afterwards and logged as an error.
///
/// ```
/// use axum::extract::Json;
/// use axum::http::StatusCode;
/// use axum::response::{IntoResponse, Response};
/// use cratestack_runtime::{Tx, idempotent};
/// use sqlx::Postgres;
///
/// struct Failed(sqlx::Error);
///
/// impl IntoResponse for Failed {
///     fn into_response(self) -> Response {
///         StatusCode::INTERNAL_SERVER_ERROR.into_response()
///     }
/// }
///
/// impl From<sqlx::Error> for Failed {
///     fn from(error: sqlx::Error) -> Self {
///         Self(error)
///     }
/// }
///
/// #[idempotent(transaction)]
/// async fn pay(mut tx: Tx<Postgres>, Json(amount): Json<i64>) -> Result<StatusCode, Failed> {
///     sqlx::query("INSERT INTO payments (amount) VALUES ($1)").bind(amount).execute(&mut *tx).await?;
///     Ok(StatusCode::CREATED)
/// }
/// ```
///
/// # Panics
///
/// It is the handler's to use: an extractor that derefs it, before the handler runs, panics.
pub struct Tx<DB: StoreDatabase> {
    slot: Arc<TransactionSlot<DB::Transaction>>,
    open: OnceLock<DB::Transaction>,
}

impl<DB: StoreDatabase> Tx<DB> {
    pub(crate) fn new(slot: Arc<TransactionSlot<DB::Transaction>>) -> Self {
        Self { slot, open: OnceLock::new() }
    }

    fn open(&self) -> &DB::Transaction {
        self.open.get_or_init(|| {
            let open = self.slot.take();
            open.expect("a `Tx` has no transaction before its handler runs: use it in the handler only")
        })
    }

    /// Nobody can call it: it is here for what the compiler says to who tries.
    #[doc(hidden)]
    pub fn commit(self) -> Ready<sqlx::Result<()>>
    where
        Self: EndsItself,
    {
        ready(Ok(()))
    }

    /// As `commit`.
    #[doc(hidden)]
    pub fn rollback(self) -> Ready<sqlx::Result<()>>
    where
        Self: EndsItself,
    {
        ready(Ok(()))
    }

    /// The `Tx` of the next attempt.
    pub(crate) fn again(&self) -> Self {
        Self::new(Arc::clone(&self.slot))
    }
}

/// A transaction that its holder may end.
#[diagnostic::on_unimplemented(
    message = "a handler does not end the transaction that it runs in",
    label = "it is ended with the record, after the handler",
    note = "return a response that is no error to commit, or an error to roll back"
)]
pub trait EndsItself {}

impl<DB: StoreDatabase> Deref for Tx<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        DB::connection(self.open())
    }
}

impl<DB: StoreDatabase> DerefMut for Tx<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        self.open();
        DB::connection_mut(self.open.get_mut().expect("it has just been opened"))
    }
}

impl<DB: StoreDatabase> Drop for Tx<DB> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.slot.put(open);
        }
    }
}

impl<DB: StoreDatabase> fmt::Debug for Tx<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tx")
    }
}
