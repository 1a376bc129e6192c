use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::headers::try_decode;
use super::problem::Problem;
use crate::store::IdempotencyRecord;

/// Marks a response as the recorded one.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Marks a record whose response is not the handler's own, but a problem that stands in for it.
const TOMBSTONE: HeaderName = HeaderName::from_static("idempotency-tombstone");

/// What is recorded in place of a response that cannot be kept. Being an ordinary outcome, it needs no place of its own
/// in any store, and other implementations that share the table answer with it too.
pub(crate) fn tombstone(original_status: u16, documentation: Option<&str>) -> http::Response<String> {
    let mut problem = Problem::ResponseNotReplayable { original_status }.render(documentation);
    problem.headers_mut().insert(TOMBSTONE, HeaderValue::from_static("true"));
    problem
}

/// Both marks are ours. A handler's response that bears one, as that of a gateway to another service like this may,
/// goes out and is recorded without it: it would pose as a replay, or its replay as a first answer.
pub(crate) fn unmark(headers: &mut HeaderMap) {
    headers.remove(REPLAYED);
    headers.remove(TOMBSTONE);
}

/// A record that does not hold a response.
#[derive(Debug)]
pub(crate) struct Damaged(pub(crate) &'static str);

/// The response that a record holds, marked as a replay unless a tombstone stands in for it. A record that is not whole
/// is not answered in part.
pub(crate) fn replay(record: Arc<IdempotencyRecord>) -> Result<Response, Damaged> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() =
        StatusCode::from_u16(record.response_status).map_err(|_| Damaged("its status is not an HTTP status"))?;
    *response.headers_mut() =
        try_decode(&record.response_headers).map_err(|_| Damaged("its header blob cannot be read"))?;
    if is_tombstone(response.status(), response.headers(), &record.response_body) {
        response.headers_mut().remove(TOMBSTONE);
    } else {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    *response.body_mut() = Body::from(Bytes::from_owner(RecordBody(record)));
    Ok(response)
}

/// The mark alone says little: services that share the table record whatever header their handlers set.
fn is_tombstone(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> bool {
    let problem = Problem::ResponseNotReplayable { original_status: 0 };
    let is_marked = headers.get(TOMBSTONE).is_some_and(|mark| mark == "true");
    let code = problem.code().as_bytes();
    is_marked && status == problem.status() && body.windows(code.len()).any(|window| window == code)
}

/// A record's body, without a copy of it: many waiters may be answered from one record.
struct RecordBody(Arc<IdempotencyRecord>);

impl AsRef<[u8]> for RecordBody {
    fn as_ref(&self) -> &[u8] {
        &self.0.response_body
    }
}
