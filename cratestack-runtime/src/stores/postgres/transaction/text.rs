//! What the texts of a transaction's statements share.

use cratestack_schema::TableName;
use uuid::Uuid;

use crate::store::Isolation;

/// The setting that holds the token; of the transaction alone, so that it ends with it.
pub(super) const CLAIM: &str = "cratestack.claim";

/// The setting that holds which table the name meant when a transaction without a claim began; of the transaction
/// alone.
pub(super) const TABLE: &str = "cratestack.table";

/// Which table the name means to this statement: a `search_path` that the handler sets is the transaction's.
pub(super) fn oid(name: &TableName) -> String {
    format!("({}::regclass)::oid::bigint", name.regclass())
}

/// Whether the transaction is still the one that claimed the key.
pub(super) fn ours(token: &str) -> String {
    format!("COALESCE(current_setting('{CLAIM}', true) = ({token}::uuid)::text, false)")
}

/// Takes the key's lock, without waiting. Neither an integer nor a UUID can leave its place in the text.
pub(super) fn claiming(token: Uuid, lock: i64) -> String {
    format!(
        "SELECT set_config('{CLAIM}', CASE WHEN pg_try_advisory_xact_lock({lock}) THEN '{token}' ELSE '' END, true)"
    )
}

pub(super) fn begin(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Default => "BEGIN",
        Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
        Isolation::RepeatableRead => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
    }
}
