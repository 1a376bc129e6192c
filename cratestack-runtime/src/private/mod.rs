//! What generated code names. Not public API: anything here may change with any release.
//!
//! The code that runs accepts anything, and what does not fit is asked for apart, at the user's token: a bound on the
//! code that runs would be reported at the attribute, and twice. Two devices serve that:
//!
//! - An inherent function is found before a trait's. So an inherent one for `Argument<Json<T>>` beside a trait's for
//!   every `Argument<T>` asks of a `Json` what it asks of nothing else, however the user spells the type.
//! - A trait of our own in front of axum's carries the words of the error. Its blanket impl says `do_not_recommend`, so
//!   that the error stays with our trait.

#[cfg(feature = "axum")]
mod argument;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod causes;
#[cfg(feature = "macros")]
mod function;
#[cfg(feature = "axum")]
mod handling;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod repeat;
#[cfg(feature = "axum")]
mod returned;
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
mod transaction;

#[cfg(feature = "axum")]
pub use axum::response::Response;
#[cfg(feature = "macros")]
pub use cratestack_macros::idempotent;

#[cfg(feature = "macros")]
pub use crate::function::{FunctionCall, GuardError, Recorder, Run, again, once};
#[cfg(all(feature = "macros", any(feature = "postgres", feature = "sqlite")))]
pub use crate::function::{IsTx, TransactionalCall, TransactionalRun};
#[cfg(any(feature = "axum", feature = "macros"))]
pub use crate::handle::{FoundHandle, found_handle};
pub use crate::handle::{Options, Part, part};
#[cfg(feature = "axum")]
pub use crate::http::{
    AwaitingHandle, Guarded, GuardedRequest as Call, GuardedResponse, LeasedHandler, PreparedRun, ProvidesHandle, Via,
    Work,
};
#[cfg(feature = "axum")]
pub use argument::{
    AnyArgument, AnyArgumentOf, AnyKeyless, Argument, ArgumentOf, Keyless, known_before_the_body,
    state_provides_idempotency,
};
#[cfg(all(feature = "macros", any(feature = "postgres", feature = "sqlite")))]
pub use causes::AnyRecorder;
#[cfg(feature = "macros")]
pub use function::{
    AnyFunction, AnyReturnedByFunction, Function, FunctionResult, IsReservation, RecordedError, RecordedValue,
    TakesGuardError, Unrecordable, function, reservation, unreturned,
};
#[cfg(all(feature = "macros", any(feature = "postgres", feature = "sqlite")))]
pub use function::{AnyTransactionalHandle, transactional_handle};
#[cfg(feature = "axum")]
pub use handling::{
    AnyHandling, AnyOutcome, CallOutput, HandlerFuture, Handling, SendArgument, SendFuture, argument_is_send,
    handler_is_future, handler_is_send, handler_type_is_send, handling, outcome, refused, run,
};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use repeat::{Again, AnyRepeat, Repeat};
#[cfg(feature = "axum")]
pub use returned::{AnyReturned, Returned};
#[cfg(feature = "macros")]
pub use std::boxed::Box;
#[cfg(all(feature = "axum", any(feature = "postgres", feature = "sqlite")))]
pub use transaction::{
    AnyAttempts, AnyCauses, AnyInTransaction, AnyPair, AnyUntransacted, Attempts, Causes, GuardedOver, InTransaction,
    LeasedReservation, Noting, OutsideOfTransactions, Pair, ProvidesTransactions, Repeating, Reservation, TakesTx,
    TheOnlyOne, Transacted, TransactionReservation, TransactionalHandler, Untransacted, ViaOver, ViaTx,
    found_handle_for, noting, outcome_of, repeating, run_in_transaction, takes_tx,
};
