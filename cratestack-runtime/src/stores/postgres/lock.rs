//! The numbers of the advisory locks that stand for keys. A fleet shares them, whatever its versions: they never
//! change.

use sha2::{Digest, Sha256};

use crate::store::RecordIdRef;

pub(super) const CHANNEL: &str = "cratestack_idempotency";

/// How many locks stand for the keys of a table; a power of two.
pub(super) const BUCKETS: i64 = 256;

/// The number that stands for a key of `table`: the payload of its notification.
///
/// By the table's name alone: of two services one may name the schema and the other find it by its search path.
pub(super) fn lock_of(table: &str, id: RecordIdRef<'_>) -> i64 {
    let mut hasher = Sha256::new();
    for part in [table, id.principal, id.key] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    digest.iter().take(8).fold(0, |lock, byte| (lock << 8) | i64::from(*byte))
}

/// The first half of the locks of the buckets of `table`.
///
/// Not negative, as it goes into the text of statements: Postgres reads the smallest integer as a larger type's.
pub(super) fn class_of(table: &str) -> i32 {
    let lock = lock_of(table, RecordIdRef { principal: "", key: "" });
    i32::try_from(lock & i64::from(i32::MAX)).unwrap_or_default()
}

/// The second half of a key's lock: its bucket.
pub(super) fn bucket_of(lock: i64) -> i32 {
    i32::try_from(lock & (BUCKETS - 1)).unwrap_or_default()
}

/// The expression by which a statement that ends a reservation notifies whoever waits for it, see `notify`. `lock` is
/// an expression for the key's number.
pub(super) fn notification(class: i32, lock: &str) -> String {
    format!(
        "CASE WHEN pg_try_advisory_xact_lock_shared({class}, ({lock} & {last})::int) THEN ''
            ELSE pg_notify('{CHANNEL}', ({lock})::text)::text END",
        last = BUCKETS - 1,
    )
}
