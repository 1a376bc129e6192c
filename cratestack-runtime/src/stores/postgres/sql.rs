//! What the statements of several operations have in common.

use cratestack_schema::columns::{KEY, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_STATUS};

use super::lock::notification;

/// The moment at which a row is judged and written. `NOW()` is that at which the transaction began: before the
/// statement waited for a lock on the table, or on a row.
///
/// It is another one each time that it is evaluated, so what has to agree comes from one evaluation: a sub-select with
/// it is not merged into the query around it.
pub(super) const CLOCK: &str = "clock_timestamp()";

/// How long a batch waits for a row that another transaction has locked, before its callers go alone: none of them may
/// wait for another's row.
const BATCH_LOCK_TIMEOUT: &str = "250ms";

/// `ticks`, an expression, after `moment`.
pub(super) fn after(moment: &str, ticks: &str) -> String {
    format!("{moment} + {ticks} * INTERVAL '1 microsecond'")
}

/// The rows that a statement for many keys is asked for, in order. Each parameter is an array with an element for each
/// key, so that the text is the same for every number of keys; the last one is how many there are.
///
/// A row per key must be found by the index, whatever the planner believes about the table: it believes that the
/// limit, which it cannot see, leaves a tenth of the ten rows that it expects of an unknown array, so one, and for one
/// row no plan beats the index. It would scan the table for more of them where it has no statistics of it, and keep to
/// that plan as the table grows.
///
/// The limit is computed before the first row is, and with it the lock's timeout is set, for this transaction alone and
/// unless the session has one of its own.
pub(super) fn asked(columns: &[(&str, &str)]) -> String {
    let arrays: Vec<_> =
        columns.iter().enumerate().map(|(index, (_, kind))| format!("(SELECT ${}::{kind}[])", index + 1)).collect();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    format!(
        "SELECT * FROM UNNEST({arrays}) WITH ORDINALITY AS asked ({names}, n)
        LIMIT (
            SELECT ${count}::bigint
            WHERE CASE current_setting('lock_timeout') WHEN '0' THEN set_config('lock_timeout', '{timeout}', true)
                ELSE '' END IS NOT NULL
        )",
        arrays = arrays.join(", "),
        names = names.join(", "),
        count = columns.len() + 1,
        timeout = BATCH_LOCK_TIMEOUT,
    )
}

/// Finds the row of an asked key that is in flight under its token.
pub(super) fn in_flight(row: &str) -> String {
    format!(
        "{row}.{PRINCIPAL_FINGERPRINT} = asked.principal AND {row}.{KEY} = asked.name
        AND {row}.{RESERVATION_ID} = asked.token AND {row}.{RESPONSE_STATUS} IS NULL"
    )
}

/// One row where `ended`, a statement that ends a reservation, did so; whoever waits for it is notified in the same
/// statement.
pub(super) fn notifying(ended: &str, class: i32, lock: &str) -> String {
    format!("{ended}\n        RETURNING {}", notification(class, lock))
}

/// A row for each asked key whose reservation `ended` has ended; who waits for one is notified.
pub(super) fn notifying_each(ended: &str, class: i32) -> String {
    format!("{ended}\n        RETURNING asked.n, {}", notification(class, "asked.lock"))
}
