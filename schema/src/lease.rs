use crate::table::columns::{CREATED_AT, EXPIRES_AT, LEASE_EXPIRES_AT};

/// The SQL expression for when the lease of a row ends, in SQL that all dialects speak.
///
/// A lease counts only if it ends after `created_at`. Other programs share this table that know no lease: they take
/// over an expired row by setting `created_at` to now and leave the lease column as it was. A lease never outlasts its
/// row's `expires_at`, and they wait for that, so a lease that is left over from before such a takeover ends no later
/// than the new `created_at`: it is recognised, and the row's lease is its `expires_at`. A row that such a program
/// inserted has NULL there, and its lease is its `expires_at`, too.
///
/// ```
/// let end = cratestack_schema::lease_end("held");
/// assert!(end.starts_with("CASE WHEN held.lease_expires_at > held.created_at THEN held.lease_expires_at"));
/// assert!(end.ends_with("ELSE held.expires_at END"));
/// ```
pub fn lease_end(row: &str) -> String {
    format!(
        "CASE WHEN {row}.{LEASE_EXPIRES_AT} > {row}.{CREATED_AT} THEN {row}.{LEASE_EXPIRES_AT} \
         ELSE {row}.{EXPIRES_AT} END"
    )
}
