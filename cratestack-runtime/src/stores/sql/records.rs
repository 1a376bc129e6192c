//! What an operator sees of the rows, and removes: the statements of `cratestack-schema`, over either database.

use std::time::{Duration, SystemTime};

use cratestack_schema::{
    Dialect, NamespaceFilter, PrincipalFilter, RecordFilter, Removal as Removing, Statement, StatementValue, TableName,
};
use sqlx::database::HasStatementCache;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ColumnIndex, Database, Decode, Encode, Row, Type};

use crate::store::{RecordIdRef, RecordInfo, RecordQuery, RecordState, Removal, StoreError, Within};

/// A statement, ready to be run.
pub(crate) fn bound<'q, DB>(statement: Statement) -> Query<'q, DB, DB::Arguments>
where
    DB: Database + HasStatementCache,
    String: Encode<'q, DB> + Type<DB>,
    i64: Encode<'q, DB> + Type<DB>,
{
    // Their texts are of a few shapes, but seldom run: none is worth a place among the prepared ones.
    let query = sqlx::query(AssertSqlSafe(statement.text)).persistent(false);
    statement.values.into_iter().fold(query, |query, value| match value {
        StatementValue::Text(text) => query.bind(text),
        StatementValue::Integer(integer) => query.bind(integer),
    })
}

/// The statement that shows one record.
pub(crate) fn show(dialect: Dialect, table: &TableName, id: RecordIdRef<'_>) -> Statement {
    table.records(dialect, &RecordFilter::one(id.principal, id.key), 1)
}

/// The statement that lists records.
pub(crate) fn list(dialect: Dialect, table: &TableName, query: &RecordQuery) -> Statement {
    let namespace = match &query.within {
        Within::Everything => NamespaceFilter::Any,
        Within::NoNamespace => NamespaceFilter::Outside,
        Within::Namespace(name) => NamespaceFilter::Is(name.clone()),
    };
    let filter = RecordFilter {
        namespace,
        states: query.states.iter().map(|state| of_schema(*state)).collect(),
        lasting_ms: i64::try_from(query.lasting.as_millis()).unwrap_or(i64::MAX).min(MAX_LASTING_MS),
        ..RecordFilter::default()
    };
    table.records(dialect, &filter, query.limit)
}

/// The statement that lists what of a principal is running.
pub(crate) fn running(dialect: Dialect, table: &TableName, principal: &str, limit: u32) -> Statement {
    let filter = RecordFilter {
        principal: Some(PrincipalFilter::Stored(principal.to_owned())),
        states: vec![cratestack_schema::RecordState::InFlight],
        ..RecordFilter::default()
    };
    table.records(dialect, &filter, limit)
}

/// Longer than any row is kept, and no more than a database can take off its clock.
const MAX_LASTING_MS: i64 = 1_000 * 365 * 86_400 * 1_000;

pub(crate) fn removing(removal: Removal) -> Removing {
    Removing {
        unfinished_only: !removal.may(RecordState::Finished),
        even_if_running: removal.may(RecordState::InFlight),
        token: None,
    }
}

fn of_schema(state: RecordState) -> cratestack_schema::RecordState {
    match state {
        RecordState::InFlight => cratestack_schema::RecordState::InFlight,
        RecordState::PastLease => cratestack_schema::RecordState::PastLease,
        RecordState::Finished => cratestack_schema::RecordState::Finished,
        RecordState::Expired => cratestack_schema::RecordState::Expired,
    }
}

/// The state that a statement returns by its name.
pub(crate) fn state(name: &str) -> Result<RecordState, StoreError> {
    match name.parse() {
        Ok(cratestack_schema::RecordState::InFlight) => Ok(RecordState::InFlight),
        Ok(cratestack_schema::RecordState::PastLease) => Ok(RecordState::PastLease),
        Ok(cratestack_schema::RecordState::Finished) => Ok(RecordState::Finished),
        Ok(cratestack_schema::RecordState::Expired) => Ok(RecordState::Expired),
        Err(error) => Err(StoreError::Codec(error)),
    }
}

/// A row of a statement that shows records.
pub(crate) fn info<R>(row: &R, error: impl Fn(sqlx::Error) -> StoreError) -> Result<RecordInfo, StoreError>
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    let text = |column: usize| row.try_get::<String, _>(column).map_err(&error);
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(&error);
    let optional = |column: usize| row.try_get::<Option<i64>, _>(column).map_err(&error);
    let state = state(&text(4)?)?;
    let mut info = RecordInfo::new(text(0)?, text(1)?, [0; 32], state, moment(number(6)?)?);
    // Of a damaged row, what can be told.
    info.request_hash = request_hash(&text(2)?);
    info.status = optional(5)?.and_then(|status| u16::try_from(status).ok());
    info.lease_ends_at = optional(7)?.map(moment).transpose()?;
    info.expires_at = moment(number(8)?)?;
    info.attempt = super::attempt(optional(9)?);
    info.headers_bytes = u64::try_from(number(10)?).unwrap_or_default();
    info.body_bytes = u64::try_from(number(11)?).unwrap_or_default();
    info.now = moment(number(12)?)?;
    info.steps_bytes = u64::try_from(number(15)?).unwrap_or_default();
    Ok(info)
}

fn moment(millis: i64) -> Result<SystemTime, StoreError> {
    let distance = Duration::from_millis(millis.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let moment = if millis < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
    moment.ok_or_else(|| StoreError::Codec(format!("a time is out of range ({millis} ms from the Unix epoch)")))
}

fn request_hash(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::IfRunning;

    #[test]
    fn a_removal_means_the_same_to_the_store_and_to_the_statement() {
        for if_running in [IfRunning::Refuse, IfRunning::Remove] {
            for removal in [Removal::release(if_running), Removal::forget(if_running)] {
                for named in cratestack_schema::RecordState::ALL {
                    let is_removed = removing(removal).states().contains(&named);
                    assert_eq!(is_removed, removal.may(state(named.name()).unwrap()), "{named} by {removal:?}");
                }
            }
        }
    }

    #[test]
    fn damage_is_no_panic() {
        for digits in ["", "ff", &"é".repeat(32), &"z".repeat(64)] {
            assert_eq!(request_hash(digits), None, "{digits}");
        }
        assert_eq!(request_hash(&"0a".repeat(32)), Some([10; 32]));
        assert!(moment(-1_500).is_ok());
        let _ = (moment(i64::MIN), moment(i64::MAX));
    }
}
