//! What the answers of scripts mean.

use redis::Value;

use super::command::Asked;
use super::error::unexpected;
use super::keyspace::TICK;
use crate::store::{ClaimOutcome, IdempotencyRecord, RecordId, RecordedStep, StoreError};
use crate::stores::status::is_status;

/// Of a reservation.
pub(super) fn claim_outcome(
    answer: Value,
    asked: &Asked,
    id: &dyn Fn() -> RecordId,
) -> Result<ClaimOutcome, StoreError> {
    let Value::Array(parts) = answer else { return Err(unexpected(&answer)) };
    match <[Value; 6]>::try_from(parts) {
        Err(parts) => match parts.as_slice() {
            [Value::Int(0), attempt] => {
                let attempt = number(attempt)?;
                Ok(ClaimOutcome::Reserved { token: asked.token, attempt: u32::try_from(attempt).unwrap_or(u32::MAX) })
            }
            [Value::Int(1)] => Ok(ClaimOutcome::InFlight),
            [Value::Int(2)] => Ok(ClaimOutcome::Conflict),
            _ => Err(unexpected(&Value::Array(parts))),
        },
        Ok([_, created, expires, status, headers, body]) => {
            let status = number(&status)?;
            let response_status = u16::try_from(status)
                .ok()
                .filter(|status| is_status(*status))
                .ok_or_else(|| StoreError::Codec(format!("its status is {status}, outside 100 to 999")))?;
            let id = id();
            Ok(ClaimOutcome::Replay(IdempotencyRecord {
                key: id.key().to_owned(),
                principal_fingerprint: id.principal().to_owned(),
                request_hash: asked.request_hash,
                response_status,
                response_headers: bytes(headers)?,
                response_body: bytes(body)?,
                created_at: TICK.moment(number(&created)?)?,
                expires_at: TICK.moment(number(&expires)?)?,
            }))
        }
    }
}

/// In the order in which they were recorded.
pub(super) fn recorded_steps(answer: Value) -> Result<Vec<RecordedStep>, StoreError> {
    let Value::Array(parts) = answer else { return Err(unexpected(&answer)) };
    let mut steps = Vec::with_capacity(parts.len() / 2);
    let mut parts = parts.into_iter();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        let damaged = || StoreError::Codec("the steps of a reservation are damaged".to_owned());
        let name = String::from_utf8(bytes(name)?).map_err(|_| damaged())?;
        let mut value = bytes(value)?;
        let space = value.iter().position(|byte| *byte == b' ').ok_or_else(damaged)?;
        let number: u64 =
            std::str::from_utf8(&value[..space]).ok().and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
        value.drain(..=space);
        steps.push((number, RecordedStep { name, value }));
    }
    steps.sort_by_key(|(number, _)| *number);
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        other => Err(unexpected(&other)),
    }
}

/// Scripts answer with numbers, and with fields that hold one.
pub(super) fn number(value: &Value) -> Result<i64, StoreError> {
    let read = match value {
        Value::Int(number) => Some(*number),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
        _ => None,
    };
    read.ok_or_else(|| unexpected(value))
}
