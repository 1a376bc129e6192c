use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cratestack_schema::TableName;
use cratestack_schema::columns::{
    CREATED_AT, EXPIRES_AT, LEASE_EXPIRES_AT, REQUEST_HASH, RESPONSE_BODY, RESPONSE_STATUS,
};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use crate::{ClaimOutcome, IdempotencyRecord, StoreError};

/// The condition under which a request whose hash is `request` may take a row over, in SQL that both databases speak: the
/// row has expired, or it is a reservation of that very request whose lease is over.
///
/// The effect of a reservation whose lease is over may have happened. Until the row expires only its own request, which
/// wants that effect, may run again.
///
/// A lease counts only if it ends after `created_at`. Other programs share this table that know no lease: they take
/// over an expired row by setting `created_at` to now and leave our lease column as it was. A lease of ours never
/// outlasts its row's `expires_at`, and they wait for that, so a lease that is left over from before such a takeover
/// ends no later than the new `created_at`: it is recognised, and the row's lease is its `expires_at`.
pub(super) fn dead(row: &str, now: &str, request: &str) -> String {
    format!(
        "({row}.{EXPIRES_AT} <= {now} OR ({row}.{RESPONSE_STATUS} IS NULL AND {row}.{REQUEST_HASH} = {request} AND \
         CASE WHEN {row}.{LEASE_EXPIRES_AT} > {row}.{CREATED_AT} THEN {row}.{LEASE_EXPIRES_AT} \
         ELSE {row}.{EXPIRES_AT} END <= {now}))"
    )
}

/// A statement's text in a form that costs nothing to hand out again: `SqlStr` is cheap to clone only behind an `Arc`.
pub(super) fn shared(text: String) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

/// A row that whoever asked may not take over, as a database holds it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) request_hash: Vec<u8>,
    pub(super) status: Option<i64>,
    pub(super) headers: Option<Vec<u8>>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) created_at: SystemTime,
    pub(super) expires_at: SystemTime,
}

impl Row {
    /// What the row means to a caller that asked for its key. The lease of another request's row may be over.
    pub(super) fn classify(
        self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
    ) -> Result<ClaimOutcome, StoreError> {
        let length = self.request_hash.len();
        let stored: [u8; 32] = self
            .request_hash
            .try_into()
            .map_err(|_| damaged(&format!("{REQUEST_HASH} has {length} bytes, a request hash has 32")))?;
        if stored != request_hash {
            return Ok(ClaimOutcome::Conflict);
        }
        let Some(status) = self.status else {
            return Ok(ClaimOutcome::InFlight);
        };
        let response_status = u16::try_from(status)
            .ok()
            .filter(|status| is_status(*status))
            .ok_or_else(|| damaged(&format!("{RESPONSE_STATUS} is {status}, outside 100 to 999")))?;
        let response_body =
            self.body.ok_or_else(|| damaged(&format!("{RESPONSE_BODY} is NULL although {RESPONSE_STATUS} is set")))?;
        Ok(ClaimOutcome::Replay(IdempotencyRecord {
            key: key.to_owned(),
            principal_fingerprint: principal.to_owned(),
            request_hash: stored,
            response_status,
            // Other programs that share the table replay a row with a body and no headers; so must we.
            response_headers: self.headers.unwrap_or_default(),
            response_body,
            created_at: self.created_at,
            expires_at: self.expires_at,
        }))
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Codec(what.to_owned())
}

/// Says which table the damage is in.
pub(super) fn within(table: &TableName) -> impl FnOnce(StoreError) -> StoreError {
    move |error| match error {
        StoreError::Codec(what) => StoreError::Codec(format!("{what} (table {table})")),
        other => other,
    }
}

/// Refuses what could never be replayed, before it is frozen.
pub(super) fn recordable(status: u16) -> Result<(), StoreError> {
    if is_status(status) {
        Ok(())
    } else {
        Err(StoreError::Internal(format!("{status} is no HTTP status (100 to 999), so it cannot be recorded")))
    }
}

fn is_status(status: u16) -> bool {
    (100..=999).contains(&status)
}

/// How many reservations a key has needed, whatever somebody wrote into the column.
pub(super) fn attempt(stored: Option<i64>) -> u32 {
    stored.and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1)
}

/// How long from now `expires_at` is, which is all of it that may travel: the caller's clock may be wrong.
pub(super) fn remaining(expires_at: SystemTime) -> Duration {
    expires_at.duration_since(SystemTime::now()).unwrap_or_default()
}

/// The grain in which a database counts time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tick {
    #[cfg(feature = "postgres")]
    Microsecond,
    #[cfg(feature = "sqlite")]
    Millisecond,
}

/// Databases refuse timestamps that `Duration` can reach. Nobody waits longer than this for a retry.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

impl Tick {
    const fn nanos(self) -> u64 {
        match self {
            #[cfg(feature = "postgres")]
            Self::Microsecond => 1_000,
            #[cfg(feature = "sqlite")]
            Self::Millisecond => 1_000_000,
        }
    }

    /// A duration in whole ticks: no shorter than asked for, within what a database can add to its clock.
    pub(super) fn count(self, duration: Duration) -> i64 {
        let ticks = duration.min(LONGEST).as_nanos().div_ceil(u128::from(self.nanos()));
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }

    /// Lease and retention of a new reservation, in ticks.
    ///
    /// The lease never outlasts the retention, and lasts a tick where that does. Both matter: whether a lease counts is
    /// read off the row by `lease_expires_at > created_at`, see the statements.
    pub(super) fn claim(self, lease: Duration, retention: Duration) -> (i64, i64) {
        let retention = self.count(retention);
        (self.count(lease).max(1).min(retention), retention)
    }

    /// Whether so many ticks are more than has gone by.
    pub(super) fn outlast(self, ticks: i64, elapsed: Duration) -> bool {
        u128::try_from(ticks).unwrap_or_default() * u128::from(self.nanos()) > elapsed.as_nanos()
    }

    /// The moment so many ticks after the Unix epoch.
    pub(super) fn moment(self, ticks: i64) -> Result<SystemTime, StoreError> {
        let nanos = u128::from(ticks.unsigned_abs()) * u128::from(self.nanos());
        let distance = u64::try_from(nanos / 1_000_000_000)
            .ok()
            .zip(u32::try_from(nanos % 1_000_000_000).ok())
            .map(|(seconds, nanos)| Duration::new(seconds, nanos));
        distance
            .and_then(|distance| {
                if ticks < 0 {
                    SystemTime::UNIX_EPOCH.checked_sub(distance)
                } else {
                    SystemTime::UNIX_EPOCH.checked_add(distance)
                }
            })
            .ok_or_else(|| damaged(&format!("a time is out of range ({ticks} from the Unix epoch)")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            request_hash: vec![7; 32],
            status: Some(201),
            headers: Some(vec![0; 4]),
            body: Some(b"paid".to_vec()),
            created_at: SystemTime::UNIX_EPOCH,
            expires_at: SystemTime::UNIX_EPOCH,
        }
    }

    fn codec(row: Row) -> String {
        match row.classify("alice", "secret-key", [7; 32]) {
            Err(StoreError::Codec(text)) => {
                assert!(!text.contains("alice") && !text.contains("secret-key"), "{text}");
                text
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_finished_row_replays() {
        let ClaimOutcome::Replay(record) = row().classify("alice", "k", [7; 32]).unwrap() else { panic!() };
        assert_eq!((record.response_status, record.response_body.as_slice()), (201, b"paid".as_slice()));
        assert_eq!((record.principal_fingerprint.as_str(), record.key.as_str()), ("alice", "k"));
    }

    #[test]
    fn another_hash_conflicts_finished_or_not_and_before_anything_else_is_looked_at() {
        for status in [None, Some(201), Some(-1)] {
            let outcome = Row { status, ..row() }.classify("alice", "k", [8; 32]);
            assert_eq!(outcome, Ok(ClaimOutcome::Conflict));
        }
    }

    #[test]
    fn without_a_status_the_request_is_running() {
        let row = Row { status: None, headers: None, body: None, ..row() };
        assert_eq!(row.classify("alice", "k", [7; 32]), Ok(ClaimOutcome::InFlight));
    }

    #[test]
    fn no_headers_are_empty_headers() {
        let row = Row { headers: None, ..row() };
        let Ok(ClaimOutcome::Replay(record)) = row.classify("alice", "k", [7; 32]) else { panic!() };
        assert!(record.response_headers.is_empty());
    }

    #[test]
    fn damage_is_named_and_tells_no_secret() {
        assert!(codec(Row { request_hash: vec![7; 31], ..row() }).contains("request_hash has 31 bytes"));
        assert!(codec(Row { body: None, ..row() }).contains("response_body is NULL"));
        for status in [-1, 0, 99, 1000, i64::MAX] {
            assert!(codec(Row { status: Some(status), ..row() }).contains(&format!("response_status is {status},")));
        }
    }

    #[test]
    fn attempts_start_at_one() {
        assert_eq!([None, Some(-3), Some(0), Some(1), Some(5)].map(attempt), [1, 1, 1, 1, 5]);
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn durations_are_rounded_up_and_clamped() {
        let tick = Tick::Microsecond;
        assert_eq!(tick.count(Duration::ZERO), 0);
        assert_eq!(tick.count(Duration::from_nanos(1)), 1);
        assert_eq!(tick.count(Duration::from_secs(1)), 1_000_000);
        assert_eq!(tick.count(Duration::MAX), 100 * 365 * 86_400 * 1_000_000);
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_lease_lies_within_its_retention() {
        let tick = Tick::Millisecond;
        let seconds = Duration::from_secs;
        assert_eq!(tick.claim(seconds(30), seconds(60)), (30_000, 60_000));
        assert_eq!(tick.claim(seconds(90), seconds(60)), (60_000, 60_000));
        assert_eq!(tick.claim(Duration::ZERO, seconds(60)), (1, 60_000));
        assert_eq!(tick.claim(seconds(30), Duration::ZERO), (0, 0));
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_lease_outlasts_what_is_shorter() {
        let tick = Tick::Millisecond;
        assert!(tick.outlast(30, Duration::from_micros(29_999)));
        assert!(!tick.outlast(30, Duration::from_millis(30)));
        assert!(!tick.outlast(0, Duration::ZERO) && !tick.outlast(-30, Duration::ZERO));
        assert!(tick.outlast(i64::MAX, Duration::from_secs(86_400)));
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn moments_reach_both_ways_and_never_panic() {
        let tick = Tick::Millisecond;
        assert_eq!(tick.moment(1_500).unwrap(), SystemTime::UNIX_EPOCH + Duration::from_millis(1_500));
        assert_eq!(tick.moment(-1_500).unwrap(), SystemTime::UNIX_EPOCH - Duration::from_millis(1_500));
        let _ = (tick.moment(i64::MAX), tick.moment(i64::MIN));
    }
}
