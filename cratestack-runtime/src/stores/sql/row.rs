//! What a row of the table means to whoever asked for its key.

use std::time::SystemTime;

use cratestack_schema::TableName;
use cratestack_schema::columns::{REQUEST_HASH, RESPONSE_BODY, RESPONSE_STATUS};

use crate::store::{ClaimOutcome, IdempotencyRecord, RecordIdRef, StoreError};
use crate::stores::status::is_status;

/// A row that whoever asked may not take over, as a database holds it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) request_hash: Vec<u8>,
    pub(crate) status: Option<i64>,
    pub(crate) headers: Option<Vec<u8>>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) created_at: SystemTime,
    pub(crate) expires_at: SystemTime,
}

impl Row {
    /// What the row means to a caller that asked for its key. The lease of another request's row may be over.
    pub(crate) fn classify(self, id: RecordIdRef<'_>, request_hash: [u8; 32]) -> Result<ClaimOutcome, StoreError> {
        let length = self.request_hash.len();
        let stored: [u8; 32] = self
            .request_hash
            .try_into()
            .map_err(|_| StoreError::Codec(format!("{REQUEST_HASH} has {length} bytes, a request hash has 32")))?;
        if stored != request_hash {
            return Ok(ClaimOutcome::Conflict);
        }
        let Some(status) = self.status else {
            return Ok(ClaimOutcome::InFlight);
        };
        let response_status = u16::try_from(status)
            .ok()
            .filter(|status| is_status(*status))
            .ok_or_else(|| StoreError::Codec(format!("{RESPONSE_STATUS} is {status}, outside 100 to 999")))?;
        let no_body = || StoreError::Codec(format!("{RESPONSE_BODY} is NULL although {RESPONSE_STATUS} is set"));
        Ok(ClaimOutcome::Replay(IdempotencyRecord {
            key: id.key.to_owned(),
            principal_fingerprint: id.principal.to_owned(),
            request_hash: stored,
            response_status,
            // Other programs that share the table replay a row with a body and no headers; so must we.
            response_headers: self.headers.unwrap_or_default(),
            response_body: self.body.ok_or_else(no_body)?,
            created_at: self.created_at,
            expires_at: self.expires_at,
        }))
    }
}

/// Says which table the damage is in.
pub(crate) fn in_table(table: &TableName) -> impl FnOnce(StoreError) -> StoreError {
    move |error| match error {
        StoreError::Codec(what) => StoreError::Codec(format!("{what} (table {table})")),
        other => other,
    }
}

/// How many reservations a key has needed, whatever somebody wrote into the column.
pub(crate) fn attempt(stored: Option<i64>) -> u32 {
    stored.and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RecordIdRef<'_> = RecordIdRef { principal: "alice", key: "k" };

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
        match row.classify(RecordIdRef { principal: "alice", key: "secret-key" }, [7; 32]) {
            Err(StoreError::Codec(text)) => {
                assert!(!text.contains("alice") && !text.contains("secret-key"), "{text}");
                text
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_finished_row_replays() {
        let ClaimOutcome::Replay(record) = row().classify(ID, [7; 32]).unwrap() else { panic!() };
        assert_eq!((record.response_status, record.response_body.as_slice()), (201, b"paid".as_slice()));
        assert_eq!((record.principal_fingerprint.as_str(), record.key.as_str()), ("alice", "k"));
    }

    #[test]
    fn another_hash_conflicts_finished_or_not_and_before_anything_else_is_looked_at() {
        for status in [None, Some(201), Some(-1)] {
            let outcome = Row { status, ..row() }.classify(ID, [8; 32]);
            assert_eq!(outcome, Ok(ClaimOutcome::Conflict));
        }
    }

    #[test]
    fn without_a_status_the_request_is_running() {
        let row = Row { status: None, headers: None, body: None, ..row() };
        assert_eq!(row.classify(ID, [7; 32]), Ok(ClaimOutcome::InFlight));
    }

    #[test]
    fn no_headers_are_empty_headers() {
        let row = Row { headers: None, ..row() };
        let Ok(ClaimOutcome::Replay(record)) = row.classify(ID, [7; 32]) else { panic!() };
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
}
