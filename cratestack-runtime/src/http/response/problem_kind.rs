//! Every answer of the guard's own: its code, status and words, and whether and when to send the request again.
//!
//! The client that reads them is a program: it decides by `code` and `retryable`, and its developer reads `detail`.
//! Neither a key nor a principal nor anything of a body is ever part of an answer.

use std::borrow::Cow;

use http::StatusCode;

use crate::http::identity::{BodyError, KeyError};

/// Counts the variants, so that a list of all of them is one that the compiler has counted.
macro_rules! counted {
    (
        $(#[$attribute:meta])*
        pub(crate) enum $enum:ident {
            $($(#[$doc:meta])* $variant:ident $(($($of:tt)*))? $({ $($field:tt)* })?,)*
        }
    ) => {
        $(#[$attribute])*
        pub(crate) enum $enum {
            $($(#[$doc])* $variant $(($($of)*))? $({ $($field)* })?,)*
        }

        #[cfg(test)]
        impl $enum {
            pub(super) const COUNT: usize = [$(stringify!($variant)),*].len();
        }
    };
}

counted! {
    /// What went wrong. Codes and statuses are stable: clients branch on them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum ProblemKind {
        /// The handler requires a key and the request has none.
        KeyMissing,
        /// The attribute's `key = …` comes to nothing.
        KeyAbsent,
        KeyInvalid(KeyError),
        /// The key belongs to another request.
        KeyConflict,
        /// The same request is running.
        RequestInFlight,
        RequestTooLarge {
            /// The most bytes that a body may have, where the limit is the guard's own.
            limit: Option<usize>,
        },
        /// The body could not be read to its end.
        RequestIncomplete,
        /// Nothing tells who is calling: the server is misconfigured.
        CallerUnknown,
        StoreUnavailable,
        /// So much is under way that nothing more may begin.
        Overloaded,
        /// There is a record, but it cannot be read.
        RecordDamaged,
        /// The handler panicked, and what it had done until then is done.
        HandlerPanicked,
        /// The handler panicked, and its transaction was undone.
        TransactionPanicked,
        /// The request was executed, but its response was not kept.
        ResponseNotReplayable {
            original_status: u16,
        },
        /// Another attempt took the request over while this one ran.
        ReservationLost,
        /// A handler asks for its reservation where there is none to have: the server's own mistake.
        NoReservation,
        /// The handler's transaction was undone; another run may fare better.
        TransactionRolledBack,
        /// The handler's transaction took too long and was undone.
        TransactionTimedOut,
        /// The handler's transaction cannot be committed.
        TransactionRefused,
        /// Nobody can say whether the handler's transaction is committed. A retry is told.
        OutcomeUnknown,
        /// The same of a request without a key, whose retry would be another request.
        OutcomeUnknownWithoutKey,
    }
}

/// What a client is told of a problem.
pub(super) struct Description {
    pub(super) code: &'static str,
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) detail: Cow<'static, str>,
}

impl ProblemKind {
    pub(crate) fn code(self) -> &'static str {
        self.describe().code
    }

    pub(crate) fn status(self) -> StatusCode {
        self.describe().status
    }

    #[expect(clippy::too_many_lines, reason = "a table, one entry for each problem")]
    pub(super) fn describe(self) -> Description {
        let (code, status, title, detail) = match self {
            Self::KeyMissing => (
                "idempotency_key_missing",
                StatusCode::BAD_REQUEST,
                "Idempotency-Key is missing",
                "This operation requires an Idempotency-Key header. Send one with a key that is unique to this \
                 request, such as a random UUID, and send the same key again when you retry.",
            ),
            Self::KeyAbsent => (
                "idempotency_key_missing",
                StatusCode::BAD_REQUEST,
                "Idempotency key is missing",
                "This operation makes its idempotency key of a value in the request itself, and this request does \
                 not have that value. Send one that is unique to this request, and send the same one again when you \
                 retry.",
            ),
            Self::KeyInvalid(error) => {
                return Description {
                    code: "idempotency_key_invalid",
                    status: StatusCode::BAD_REQUEST,
                    title: "Idempotency-Key is invalid",
                    detail: error.to_string().into(),
                };
            }
            Self::KeyConflict => (
                "idempotency_key_conflict",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Idempotency-Key is already used",
                "This idempotency key was already used for a different request. Use a new key for a new request; to \
                 retry an earlier request, send it exactly as before.",
            ),
            Self::RequestInFlight => (
                "idempotency_request_in_flight",
                StatusCode::CONFLICT,
                "A request is outstanding for this Idempotency-Key",
                "A request with this idempotency key is still being processed. Retry with the same key and the same \
                 request to get its outcome.",
            ),
            Self::RequestTooLarge { limit } => {
                return Description {
                    code: "idempotency_request_too_large",
                    status: StatusCode::PAYLOAD_TOO_LARGE,
                    title: "Request body is too large",
                    detail: too_large(limit),
                };
            }
            Self::RequestIncomplete => (
                "idempotency_request_incomplete",
                StatusCode::BAD_REQUEST,
                "Request body is incomplete",
                "The request body could not be read to its end. This attempt executed nothing. Send the request \
                 again with the same idempotency key.",
            ),
            Self::CallerUnknown => (
                "idempotency_caller_unknown",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Caller cannot be identified",
                "The server cannot tell which caller this request belongs to, because it is misconfigured. This \
                 attempt executed nothing. Contact the operator, whose log says how to fix it.",
            ),
            Self::StoreUnavailable => (
                "idempotency_store_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Idempotency store is unavailable",
                "The server cannot check this idempotency key at the moment. This attempt executed nothing. Retry \
                 later with the same key and the same request.",
            ),
            Self::Overloaded => (
                "idempotency_overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many requests are under way",
                "The server has as many requests under way as it can take. This attempt executed nothing. Retry \
                 later with the same key and the same request.",
            ),
            Self::RecordDamaged => (
                "idempotency_record_damaged",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Idempotency record is damaged",
                "There is a record for this idempotency key, but it cannot be read. The request may have been \
                 executed and was not executed again. Check its effect before you send it with a new key.",
            ),
            Self::HandlerPanicked => (
                "idempotency_handler_panicked",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Request handler failed",
                "The server failed while processing this request, and its effect is unknown. A retry with the same \
                 idempotency key executes the request again: look first whether it has taken effect.",
            ),
            Self::TransactionPanicked => (
                "idempotency_handler_panicked",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Request handler failed",
                "The server failed while processing this request, and its transaction was rolled back. This attempt \
                 changed nothing. Retry later with the same key and the same request.",
            ),
            Self::ResponseNotReplayable { .. } => (
                "idempotency_response_not_replayable",
                StatusCode::CONFLICT,
                "Response cannot be replayed",
                "This request was already executed, but its response was not kept and cannot be sent again. Read the \
                 current state of the resource instead of retrying.",
            ),
            Self::ReservationLost => (
                "idempotency_reservation_lost",
                StatusCode::CONFLICT,
                "Another attempt took this request over",
                "Another attempt with this idempotency key took this request over. Retry with the same key and the \
                 same request to get its outcome.",
            ),
            Self::NoReservation => (
                "idempotency_no_reservation",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Request has no reservation",
                "The server's handler needs a reservation that this request cannot have, because the server is \
                 misconfigured. This attempt executed nothing. Contact the operator, whose log says how to fix it.",
            ),
            Self::TransactionRolledBack => (
                "idempotency_transaction_rolled_back",
                StatusCode::SERVICE_UNAVAILABLE,
                "Transaction was rolled back",
                "This attempt changed nothing: its transaction was rolled back, because others were in its way or \
                 the database could not be reached. Retry with the same key and the same request.",
            ),
            Self::TransactionTimedOut => (
                "idempotency_transaction_timed_out",
                StatusCode::SERVICE_UNAVAILABLE,
                "Transaction took too long",
                "This attempt changed nothing: it took too long, and its transaction was rolled back. Retry later \
                 with the same key and the same request.",
            ),
            Self::TransactionRefused => (
                "idempotency_transaction_refused",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Transaction cannot be committed",
                "This attempt changed nothing: its transaction could not be committed and was rolled back. A retry \
                 with the same idempotency key executes the request again.",
            ),
            Self::OutcomeUnknown => (
                "idempotency_outcome_unknown",
                StatusCode::SERVICE_UNAVAILABLE,
                "Outcome is not known",
                "The database was lost while this attempt was being committed, so it is not known whether it took \
                 effect. Retry later with the same key and the same request to get its outcome.",
            ),
            Self::OutcomeUnknownWithoutKey => (
                "idempotency_outcome_unknown",
                StatusCode::SERVICE_UNAVAILABLE,
                "Outcome is not known",
                "The database was lost while this attempt was being committed, so it is not known whether it took \
                 effect. The request had no idempotency key: look whether it has taken effect before you send it \
                 again.",
            ),
        };
        Description { code, status, title, detail: detail.into() }
    }

    /// Whether and when a program may send the request again.
    pub(super) fn retry(self) -> Retry {
        match self {
            Self::RequestInFlight | Self::ReservationLost | Self::TransactionRolledBack | Self::Overloaded => {
                Retry::After(1)
            }
            Self::StoreUnavailable | Self::TransactionTimedOut | Self::TransactionPanicked | Self::OutcomeUnknown => {
                Retry::After(5)
            }
            // Nothing of the server's is in the way: what broke off can be sent at once.
            Self::RequestIncomplete => Retry::AtOnce,
            Self::KeyMissing
            | Self::KeyAbsent
            | Self::KeyInvalid(_)
            | Self::KeyConflict
            | Self::RequestTooLarge { .. }
            | Self::CallerUnknown
            | Self::NoReservation
            | Self::TransactionRefused => Retry::OnceMended,
            Self::RecordDamaged
            | Self::HandlerPanicked
            | Self::ResponseNotReplayable { .. }
            | Self::OutcomeUnknownWithoutKey => Retry::OnceLookedInto,
        }
    }
}

/// Whether a program may send the same request again, under the same key, without asking anybody: it may fare better,
/// and what this attempt did is not done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// No: it would get the same answer. The request, or the server, must be mended first.
    OnceMended,
    /// No: the request was executed, or may have been, and somebody must look.
    OnceLookedInto,
    /// Yes, at once.
    AtOnce,
    /// Yes, after so many seconds.
    After(u64),
}

fn too_large(limit: Option<usize>) -> Cow<'static, str> {
    let bound = match limit {
        Some(limit) => format!("larger than {limit} bytes, the most that is accepted here"),
        None => "larger than is accepted here".to_owned(),
    };
    format!("The request body is {bound}. Send a smaller body. This attempt executed nothing.").into()
}

impl From<BodyError> for ProblemKind {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::RequestTooLarge { limit },
            BodyError::Incomplete => Self::RequestIncomplete,
        }
    }
}
