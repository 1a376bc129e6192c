use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::accept::Representation;
use super::headers::try_decode;
use super::marks::{Marks, TOMBSTONE};
use super::problem::Problem;
use super::problem_details::original_status;
use super::problem_kind::ProblemKind;
use crate::store::IdempotencyRecord;

/// What is recorded in place of a response that cannot be kept. Being an ordinary outcome, it needs no place of its own
/// in any store, and other implementations that share the table answer with it too. Here a problem is made of it anew,
/// for whoever asks.
pub(crate) fn tombstone(original_status: u16, documentation_url: Option<Arc<str>>) -> http::Response<String> {
    let kind = ProblemKind::ResponseNotReplayable { original_status };
    let mut problem = Problem::new(kind, documentation_url, Representation::Json).details();
    problem.headers_mut().insert(TOMBSTONE, HeaderValue::from_static("true"));
    problem
}

/// What a record holds.
#[derive(Debug)]
pub(crate) enum Replayed {
    Response(Response),
    /// A tombstone: the request was executed, and there is no more of its response than its status.
    Tombstone {
        original_status: u16,
    },
}

/// A record that does not hold a response.
#[derive(Debug)]
pub(crate) struct Damaged(pub(crate) &'static str);

/// The response that a record holds, marked as a replay. A record that is not whole is not answered in part.
pub(crate) fn replay(record: Arc<IdempotencyRecord>, marks: &Marks) -> Result<Replayed, Damaged> {
    let status =
        StatusCode::from_u16(record.response_status).map_err(|_| Damaged("its status is not an HTTP status"))?;
    let mut headers = try_decode(&record.response_headers).map_err(|_| Damaged("its header blob cannot be read"))?;
    if let Some(original_status) = status_in_tombstone(status, &headers, &record.response_body) {
        return Ok(Replayed::Tombstone { original_status });
    }
    marks.mark_replay(&mut headers);
    let mut response = Response::new(Body::from(Bytes::from_owner(RecordBody(record))));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(Replayed::Response(response))
}

/// The mark alone says little: services that share the table record whatever header their handlers set.
fn status_in_tombstone(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<u16> {
    let problem = ProblemKind::ResponseNotReplayable { original_status: 0 };
    let is_marked = headers.get(TOMBSTONE).is_some_and(|mark| mark == "true");
    if !is_marked || status != problem.status() {
        return None;
    }
    let json = std::str::from_utf8(body).ok().filter(|json| json.contains(problem.code()))?;
    original_status(json)
}

/// A record's body, without a copy of it: many waiters may be answered from one record.
struct RecordBody(Arc<IdempotencyRecord>);

impl AsRef<[u8]> for RecordBody {
    fn as_ref(&self) -> &[u8] {
        &self.0.response_body
    }
}
