//! Steps whose writes and record are one commit, as a handler makes them.

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::reservation::Reservation;
use super::reservation_kind::store_of;
use super::step::{decoded, encoded, noted};
use super::tx::Tx;
use crate::engine::{RunSteps, StepError, StepTransaction, TransactionSlot, refuse_within_transaction};
use crate::store::{StoreDatabase, StoreError};

impl<DB: StoreDatabase> Reservation<DB> {
    /// A step that writes in the database of the store: what it writes and its record are one commit, so it is done
    /// once, whenever the process dies.
    ///
    /// In all else it is a [`step`](Self::step): an earlier attempt's value is returned, and the closure does not run;
    /// an error of the closure rolls back, records nothing, and is returned.
    ///
    /// The closure has the transaction by its [`Tx`], as a handler with `transaction` has it, for as long as the
    /// handler's lease; then it is rolled back. While it runs the transaction holds a connection of the pool (on SQLite,
    /// the right to write too), so calls to others belong into steps of their own, before or after it. The isolation
    /// level is the connection's own.
    ///
    /// ```
    /// use axum::extract::Json;
    /// use axum::http::StatusCode;
    /// use axum::response::{IntoResponse, Response};
    /// use cratestack_runtime::{Reservation, StepError, Tx, idempotent};
    /// use sqlx::Postgres;
    ///
    /// # async fn charge(key: uuid::Uuid) -> Result<String, Failed> { Ok(key.to_string()) }
    /// struct Failed;
    ///
    /// impl From<StepError> for Failed {
    ///     fn from(error: StepError) -> Self {
    ///         eprintln!("{error}");
    ///         Self
    ///     }
    /// }
    ///
    /// impl From<sqlx::Error> for Failed {
    ///     fn from(error: sqlx::Error) -> Self {
    ///         eprintln!("{error}");
    ///         Self
    ///     }
    /// }
    ///
    /// impl IntoResponse for Failed {
    ///     fn into_response(self) -> Response {
    ///         StatusCode::SERVICE_UNAVAILABLE.into_response()
    ///     }
    /// }
    ///
    /// #[idempotent]
    /// async fn order(reservation: Reservation<Postgres>, Json(amount): Json<i64>) -> Result<StatusCode, Failed> {
    ///     let id = reservation.step("charge", async || charge(reservation.derive("charge")).await).await?;
    ///     reservation
    ///         .transaction("book", async |tx: &mut Tx<Postgres>| {
    ///             let insert = sqlx::query("INSERT INTO orders (charge, amount) VALUES ($1, $2)");
    ///             insert.bind(&id).bind(amount).execute(&mut **tx).await?;
    ///             Ok::<_, Failed>(())
    ///         })
    ///         .await?;
    ///     Ok(StatusCode::CREATED)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// What the closure returns; or a [`StepError`], made into its error type.
    ///
    /// # Panics
    ///
    /// Before the handler runs.
    #[track_caller]
    pub fn transaction<T, E, F>(&self, name: &str, step: F) -> impl Future<Output = Result<T, E>>
    where
        T: Serialize + DeserializeOwned,
        E: From<StepError>,
        F: AsyncFnOnce(&mut Tx<DB>) -> Result<T, E>,
    {
        let at = Location::caller();
        async move {
            let run = self.steps();
            noted(run, refuse_within_transaction(name))?;
            if let Some(run) = run
                && let Some(recorded) = run.begin(name, at).await?
            {
                return Ok(noted(Some(run), decoded(name, &recorded))?);
            }
            let slot = Arc::new(TransactionSlot::default());
            let open = noted(run, self.begin(run, name, &slot).await)?;
            // Dropped before `open`, which then finds the transaction in the slot.
            let mut tx = Tx::new(slot);
            let done = noted(run, open.during(step(&mut tx)).await);
            drop(tx);
            let value = match done {
                Ok(Ok(value)) => value,
                Ok(Err(error)) => {
                    let was_given_up = open.roll_back().await;
                    run.filter(|_| was_given_up).inspect(|run| run.given_up());
                    return Err(error);
                }
                Err(too_late) => {
                    open.roll_back().await;
                    return Err(too_late.into());
                }
            };
            let Some(run) = run else {
                // Nothing protects this run, so nothing is recorded either.
                open.commit(Vec::new()).await?;
                return Ok(value);
            };
            // What later attempts could not read is not committed either.
            let recorded = encoded(name, &value).and_then(|value| Ok((decoded(name, &value)?, value)));
            let (value, recorded) = match run.failing(recorded) {
                Ok(recorded) => recorded,
                Err(error) => {
                    open.roll_back().await;
                    return Err(error.into());
                }
            };
            run.failing(open.commit(recorded.clone()).await)?;
            run.is_kept(name, &recorded);
            // As every later attempt has it.
            Ok(value)
        }
    }

    async fn begin(
        &self,
        run: Option<&RunSteps>,
        name: &str,
        slot: &Arc<TransactionSlot<DB::Transaction>>,
    ) -> Result<StepTransaction<DB::Store>, StepError> {
        let Some(store) = self.store().and_then(store_of::<DB>) else {
            let error = StoreError::Unsupported("write in a transaction of this database");
            return Err(StepError::Store { name: name.to_owned(), error });
        };
        StepTransaction::begin(run, store, Arc::clone(slot), (name, self.lease())).await
    }
}
