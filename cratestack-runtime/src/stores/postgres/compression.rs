//! How the server compresses large outcomes.
//!
//! Where nobody has said otherwise it does so by `pglz`, which takes longer than everything else that recording one of
//! them costs. `lz4` takes next to nothing, and its results are as short. So a statement that records a large outcome
//! asks for `lz4`, for itself alone, unless the server or the role has another default than `pglz`; and a column for
//! which somebody has chosen a method (`ALTER TABLE … SET COMPRESSION`) is none of its business. How a value was
//! compressed is part of the value: rows of both kinds lie side by side, and every program reads both.
//!
//! A server from before version 14 knows no choice and is not asked. One that was built without `lz4` refuses the
//! statement, nothing has happened, and it is not asked again.

use std::sync::atomic::{AtomicBool, Ordering};

/// From how many bytes on: less is seldom compressed at all, as a row of up to 2 kB is left as it is.
const LARGE_BYTES: usize = 1024;

/// `invalid_parameter_value`
const REFUSED: &str = "22023";

/// A condition that is always true. Where it is met before the row is written, `body` is compressed by `lz4`.
pub(super) fn by_lz4(body: &str) -> String {
    format!(
        "CASE WHEN octet_length({body}) >= {LARGE_BYTES} AND current_setting('default_toast_compression', true) = 'pglz'
            THEN set_config('default_toast_compression', 'lz4', true) END IS DISTINCT FROM ''"
    )
}

/// Whether the server has `lz4`, as far as is known: it has until it says no.
#[derive(Debug, Default)]
pub(super) struct Lz4 {
    is_refused: AtomicBool,
}

impl Lz4 {
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// Whether a statement that asked for it may have been refused for that.
    pub(super) fn was_refused(&self, error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let is_refused = code.as_deref() == Some(REFUSED);
        self.is_refused.fetch_or(is_refused, Ordering::Relaxed);
        is_refused
    }
}
