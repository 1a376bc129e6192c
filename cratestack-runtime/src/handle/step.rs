//! Steps, as a handler makes them.

use std::future::Future;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use std::future::Ready;
use std::panic::Location;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::reservation::Reservation;
use super::reservation_kind::HasSteps;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use super::reservation_kind::InTransaction;
use crate::engine::{RunSteps, StepError, refuse_within_transaction};

impl<K: HasSteps> Reservation<K> {
    /// Does a step of this run, unless an earlier attempt of the same request has done it: then its value is the one
    /// that was recorded, and the closure does not run.
    ///
    /// The value is recorded durably, as JSON of at most 1 MiB, once the closure has succeeded, under the run's key and
    /// this name. A next attempt finds it: after a crash, a lost lease, or an error that freed the key. An error of the
    /// closure records nothing, and is returned.
    ///
    /// Between what the closure does and its record lies a moment in which the process may die; the next attempt then
    /// does the step again. So give what it calls a key of its own ([`derive`](Self::derive) is the same in every
    /// attempt).
    ///
    /// Record little: an id, rather than what it stands for. An SQL store writes all steps of a run with each one anew,
    /// so a run begins none once those that are recorded take 1 MiB.
    ///
    /// A name belongs to one step of a run. Keep it when the program changes: under another name the step is another
    /// one, and is done again by a run that began before.
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use axum::response::{IntoResponse, Response};
    /// use cratestack_runtime::{Reservation, StepError, idempotent};
    ///
    /// # async fn charge(key: uuid::Uuid) -> Result<String, Failed> { Ok(key.to_string()) }
    /// # async fn ship(charge: &str) -> Result<String, Failed> { Ok(charge.to_owned()) }
    /// struct Failed;
    ///
    /// impl From<StepError> for Failed {
    ///     fn from(error: StepError) -> Self {
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
    /// /// Whenever the process dies, a retry goes on after the last step that was recorded.
    /// #[idempotent]
    /// async fn order(reservation: Reservation) -> Result<String, Failed> {
    ///     let charged = reservation.step("charge", async || charge(reservation.derive("charge")).await).await?;
    ///     reservation.step("ship", async || ship(&charged).await).await
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
    pub fn step<T, E, F>(&self, name: &str, step: F) -> impl Future<Output = Result<T, E>>
    where
        T: Serialize + DeserializeOwned,
        E: From<StepError>,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        let at = Location::caller();
        async move {
            let run = self.steps();
            noted(run, refuse_within_transaction(name))?;
            // Nothing protects this run, so nothing is recorded either.
            let Some(run) = run else { return step().await };
            if let Some(recorded) = run.begin(name, at).await? {
                return Ok(run.failing(decoded(name, &recorded))?);
            }
            let value = step().await?;
            run.is_done();
            let value = run.failing(encoded(name, &value))?;
            run.record(name, &value).await?;
            // As every later attempt has it.
            Ok(run.failing(decoded(name, &value))?)
        }
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl Reservation<InTransaction> {
    /// Nobody can call it: it is here for what the compiler says to who tries.
    #[doc(hidden)]
    pub fn step<T, E, F>(&self, _: &str, _: F) -> Ready<Result<T, E>>
    where
        F: AsyncFnOnce() -> Result<T, E>,
        Self: MakesSteps<F>,
    {
        unreachable!("nobody can call it")
    }
}

/// A reservation that has steps. The closure is here for the compiler, which refuses a bound that nothing decides later.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[diagnostic::on_unimplemented(
    message = "a handler with `transaction` has no steps: its whole run is one commit",
    label = "this reservation has no steps",
    note = "write with the `Tx`; or remove `transaction` from the attribute, take `Reservation<Postgres>` (or \
            `Reservation<Sqlite>`), and write in `reservation.transaction(…)`"
)]
pub trait MakesSteps<F> {}

/// The result, of which the run takes note where it is an error.
pub(super) fn noted<T>(run: Option<&RunSteps>, result: Result<T, StepError>) -> Result<T, StepError> {
    match run {
        Some(run) => run.failing(result),
        None => result,
    }
}

pub(super) fn encoded<T: Serialize>(name: &str, value: &T) -> Result<Vec<u8>, StepError> {
    serde_json::to_vec(value)
        .map_err(|error| StepError::Unencodable { name: name.to_owned(), reason: error.to_string() })
}

pub(super) fn decoded<T: DeserializeOwned>(name: &str, value: &[u8]) -> Result<T, StepError> {
    serde_json::from_slice(value).map_err(|error| {
        // Its own text may show the value.
        let reason = format!("{:?} at line {}, column {}", error.classify(), error.line(), error.column());
        StepError::Undecodable { name: name.to_owned(), reason }
    })
}
