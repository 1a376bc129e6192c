//! A function's result as a row of the table: a status, headers and a body, as an HTTP response has them.
//!
//! | result | status | `idempotency-function-outcome` | body |
//! |---|---|---|---|
//! | `Ok` | 200 | `ok` | the value, as JSON |
//! | `Err`, where errors are recorded | 500 | `err` | the error, as JSON |
//! | one that cannot be recorded | 409 | `unrecordable` | `null` |
//!
//! So whoever looks at the table reads it as what it is. No request is ever answered with such a row: none has its key.
//! A row under a function's key that is not one of these, to the byte of its headers, is damaged.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{error, warn};

use super::error::GuardError;
use crate::engine::{Disposition, Failure, Outcome, Settled};
use crate::handle::{FailureCause, ReservationSlot};
use crate::store::{IdempotencyRecord, MAX_BODY_BYTES};

/// What kind of result a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value,
    Error,
    Unrecordable,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Value, Self::Error, Self::Unrecordable];

    fn code(self) -> u16 {
        match self {
            Self::Value => 200,
            Self::Error => 500,
            Self::Unrecordable => 409,
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Value => "ok",
            Self::Error => "err",
            Self::Unrecordable => "unrecordable",
        }
    }

    /// In the form that all response headers have in the table.
    fn metadata(self) -> Vec<u8> {
        let fields = [("content-type", "application/json"), ("idempotency-function-outcome", self.mark())];
        let mut blob = Vec::with_capacity(100);
        blob.extend_from_slice(&length(fields.len()));
        for text in fields.into_iter().flat_map(|(name, value)| [name, value]) {
            blob.extend_from_slice(&length(text.len()));
            blob.extend_from_slice(text.as_bytes());
        }
        blob
    }

    fn of(record: &IdempotencyRecord) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.code() == record.response_status && kind.metadata() == record.response_headers)
    }

    fn outcome(self, body: Vec<u8>) -> Outcome {
        Outcome { code: self.code(), metadata: self.metadata(), body: Bytes::from(body) }
    }
}

/// The texts above are short.
fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap_or(u32::MAX).to_le_bytes()
}

/// A function's side of a result, encoded.
type Encoded = Result<Vec<u8>, serde_json::Error>;

/// How the results of one function are recorded and had again.
pub struct Recorder<T, E> {
    value: Codec<T>,
    /// Where errors are recorded.
    error: Option<Codec<E>>,
    refused: fn(GuardError) -> E,
    cause: fn(&E) -> Option<FailureCause>,
}

struct Codec<T> {
    encode: fn(&T) -> Encoded,
    decode: fn(&[u8]) -> Result<T, serde_json::Error>,
}

impl<T, E> Clone for Recorder<T, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, E> Copy for Recorder<T, E> {}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Codec<T> {}

impl<T: Serialize + DeserializeOwned> Codec<T> {
    const JSON: Self =
        Self { encode: |value| serde_json::to_vec(value), decode: |bytes| serde_json::from_slice(bytes) };
}

impl<T: Serialize + DeserializeOwned, E: From<GuardError>> Recorder<T, E> {
    /// `record = success`
    pub const SUCCESS: Self = Self { value: Codec::JSON, error: None, refused: E::from, cause: |_| None };
}

impl<T, E> Recorder<T, E>
where
    T: Serialize + DeserializeOwned,
    E: From<GuardError> + Serialize + DeserializeOwned,
{
    /// `record = all`
    pub const ALL: Self = Self { error: Some(Codec::JSON), ..Self::SUCCESS };
}

impl<T, E> Recorder<T, E> {
    /// How it is known what of the database's an error was caused by.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    #[must_use]
    pub fn caused_by(self, cause: fn(&E) -> Option<FailureCause>) -> Self {
        Self { cause, ..self }
    }

    pub(super) fn refused(&self, error: GuardError) -> Result<T, E> {
        Err((self.refused)(error))
    }

    /// What is to be recorded of a result.
    pub(super) fn settled(&self, result: &Result<T, E>, function: &'static str, slot: &ReservationSlot) -> Settled<()> {
        match result {
            Ok(value) => settled(Some((Kind::Value, (self.value.encode)(value))), None, function),
            Err(error) => {
                let cause = (self.cause)(error);
                // Of a run that is to go on from its steps, an error is no outcome.
                let recorded = self.error.filter(|_| !slot.is_unfinished(cause.is_none()));
                let encoded = recorded.map(|codec| (Kind::Error, (codec.encode)(error)));
                settled(encoded, Some(failure(cause)), function)
            }
        }
    }

    /// The result that a record holds.
    pub(super) fn replayed(&self, record: &Arc<IdempotencyRecord>, function: &'static str) -> Result<T, E> {
        let read = match (Kind::of(record), self.error) {
            (Some(Kind::Value), _) => (self.value.decode)(&record.response_body).map(Ok),
            (Some(Kind::Error), Some(codec)) => (codec.decode)(&record.response_body).map(Err),
            (Some(Kind::Error), None) => {
                let reason = "it is an error, and this program's function records none".to_owned();
                return self.refused(undecodable(function, reason));
            }
            (Some(Kind::Unrecordable), _) => return self.refused(GuardError::NotReplayable { function }),
            (None, _) => return self.refused(GuardError::Damaged { function }),
        };
        read.unwrap_or_else(|error| {
            // Its own text may show the value.
            let reason = format!("{:?} at line {}, column {}", error.classify(), error.line(), error.column());
            self.refused(undecodable(function, reason))
        })
    }
}

/// Whether the row is one that a function has recorded.
pub(super) fn is_whole(record: &IdempotencyRecord) -> bool {
    Kind::of(record).is_some()
}

fn undecodable(function: &'static str, reason: String) -> GuardError {
    error!(function, reason, "the recorded result of an idempotent function is not of this program's type");
    GuardError::Undecodable { function, reason }
}

/// Where nothing is recorded, the key is given back.
fn settled(encoded: Option<(Kind, Encoded)>, failure: Option<Failure>, function: &'static str) -> Settled<()> {
    let disposition = match encoded {
        None => Disposition::Release,
        Some((kind, Ok(body))) if body.len() <= MAX_BODY_BYTES => Disposition::Record(kind.outcome(body)),
        Some((_, encoded)) => {
            let reason = match encoded {
                Ok(body) => format!("it has {} bytes, and at most {MAX_BODY_BYTES} are recorded", body.len()),
                Err(error) => error.to_string(),
            };
            warn!(
                function,
                reason, "the result of an idempotent function cannot be recorded; a later call is an error"
            );
            Disposition::Record(Kind::Unrecordable.outcome(b"null".to_vec()))
        }
    };
    Settled { disposition, reply: (), failure }
}

/// How a function tells what its error was caused by.
const SHOW_THE_CAUSE: &str =
    "return an error that implements `std::error::Error` and has the `sqlx::Error` among its sources";

fn failure(cause: Option<FailureCause>) -> Failure {
    match cause {
        Some(FailureCause::Transient) => Failure::Transient,
        Some(FailureCause::Other) => Failure::Deliberate,
        None => Failure::Unknown { remedy: SHOW_THE_CAUSE },
    }
}
