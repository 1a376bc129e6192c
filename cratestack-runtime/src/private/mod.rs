//! What generated code names. Not public API: anything here may change with any release.
//!
//! The code that runs accepts anything, and what does not fit is asked for apart, at the user's token: a bound on the
//! code that runs would be reported at the attribute, and twice. Two devices serve that:
//!
//! - An inherent function is found before a trait's. So an inherent one for `Argument<Json<T>>` beside a trait's for
//!   every `Argument<T>` asks of a `Json` what it asks of nothing else, however the user spells the type.
//! - A trait of our own in front of axum's carries the words of the error. Its blanket impl says `do_not_recommend`, so
//!   that the error stays with our trait.

mod argument;
mod handling;
mod returned;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod transaction;

pub use axum::response::Response;
#[cfg(feature = "macros")]
pub use cratestack_macros::idempotent;

pub use crate::handle::{FoundHandle, Options, Part, handle, part};
pub use crate::http::{
    AwaitingHandle, Guarded, GuardedRequest as Call, LeasedHandler, PreparedRun, ProvidesHandle, Via, Work,
};
pub use argument::{
    AnyArgument, AnyArgumentOf, AnyKeyless, Argument, ArgumentOf, Keyless, known_before_the_body,
    state_provides_idempotency,
};
pub use handling::{
    AnyHandling, AnyOutcome, CallOutput, HandlerFuture, Handling, SendArgument, SendFuture, argument_is_send,
    handler_is_future, handler_is_send, handler_type_is_send, handling, outcome, refused, run, unreturned,
};
pub use returned::{AnyReturned, Returned};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use transaction::{
    Again, AnyAttempts, AnyCauses, AnyInTransaction, AnyPair, AnyRepeat, AnyUntransacted, Attempts, Causes,
    GuardedOver, InTransaction, LeasedReservation, Noting, OutsideOfTransactions, Pair, ProvidesTransactions, Repeat,
    Repeating, Reservation, TakesTx, TheOnlyOne, Transacted, TransactionReservation, TransactionalHandler,
    Untransacted, ViaOver, ViaTx, handle_for, noting, outcome_of, repeating, run_in_transaction, takes_tx,
};
