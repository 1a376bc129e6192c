use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Method, Uri, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::fingerprint::RequestHasher;
use super::problem::Problem;
use crate::store::MAX_BODY_BYTES;

/// RFC 9110, 9.2.1: what changes nothing needs no guard.
pub(crate) fn is_safe(method: &Method) -> bool {
    method.is_safe()
}

/// The request with its body read whole, and what it looks like.
pub(crate) async fn buffer(request: Request, bound: Option<usize>) -> Result<(Request, [u8; 32]), Problem> {
    let (request, limit) = if let Some(bound) = bound {
        let mut request = request;
        // What is buffered is within the bound; axum's own limit would only disagree with it.
        DefaultBodyLimit::disable().apply(&mut request);
        (request, bound)
    } else {
        let (request, limit) = axum_limit(request);
        (request, limit.unwrap_or(MAX_BODY_BYTES))
    };
    let (parts, body) = request.into_parts();
    let mut hasher = hasher_of(&parts);
    let body = read(body, limit, &mut hasher).await?;
    Ok((Request::from_parts(parts, Body::from(body)), hasher.finish()))
}

/// The limit that axum applies to this request; `None` where it is disabled.
///
/// axum does not tell the number. But it announces it: a limited body of unknown length has the limit as its upper size.
fn axum_limit(request: Request) -> (Request, Option<usize>) {
    let (parts, body) = request.into_parts();
    let probe = Request::from_parts(parts, Body::new(OfUnknownLength)).with_limited_body();
    let limit = probe.body().size_hint().upper().and_then(|upper| usize::try_from(upper).ok());
    let (parts, _) = probe.into_parts();
    (Request::from_parts(parts, body), limit)
}

struct OfUnknownLength;

impl http_body::Body for OfUnknownLength {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

async fn read(body: Body, limit: usize, hasher: &mut RequestHasher) -> Result<Bytes, Problem> {
    // A length that is announced over the limit needs no reading.
    if body.size_hint().lower() > limit as u64 {
        return Err(Problem::RequestTooLarge { limit: Some(limit) });
    }
    match whole(Limited::new(body, limit), hasher).await {
        Ok(whole) => Ok(whole),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::RequestTooLarge { limit: Some(limit) }),
        Err(error) if is_caused_by_a_limit(&*error) => Err(Problem::RequestTooLarge { limit: None }),
        Err(_) => Err(Problem::RequestIncomplete),
    }
}

/// All the data of a body, hashed as it arrives. A single frame is not copied, several are, once.
async fn whole(mut body: Limited<Body>, hasher: &mut RequestHasher) -> Result<Bytes, axum::BoxError> {
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        hasher.update(&data);
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                // Its announced length is a claim: memory is taken for what arrives.
                rest.reserve(first.len() + data.len());
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// A layer in front of the handler may have a limit of its own, as `tower_http::limit` has.
fn is_caused_by_a_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Inside a nested router the URI has lost its prefix, and two routes would look the same.
pub(crate) fn original_uri(parts: &Parts) -> &Uri {
    parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0)
}

fn hasher_of(parts: &Parts) -> RequestHasher {
    let uri = original_uri(parts);
    let path = uri.path_and_query().map_or_else(|| uri.path(), http::uri::PathAndQuery::as_str);
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    RequestHasher::new(&parts.method, path, content_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::hash_request;

    fn in_frames(frames: &'static [&'static [u8]]) -> Request {
        let frames = frames.iter().map(|frame| Ok::<_, Infallible>(Frame::data(Bytes::from_static(frame))));
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        Request::post("/pay?a=1").header("content-type", "text/plain").body(Body::new(body)).unwrap()
    }

    #[tokio::test]
    async fn one_frame_is_not_copied() {
        const FRAME: &[u8] = b"a frame of its own";
        let (request, _) = buffer(in_frames(&[FRAME]), Some(100)).await.unwrap();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.as_ptr(), FRAME.as_ptr());
    }

    #[tokio::test]
    async fn frames_are_hashed_as_one_body() {
        const WHOLE: &[&[u8]] = &[b"paid 100"];
        const PIECES: &[&[u8]] = &[b"", b"paid", b"", b" 1", b"00"];
        for frames in [WHOLE, PIECES] {
            let (request, hash) = buffer(in_frames(frames), Some(8)).await.unwrap();
            assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "paid 100");
            assert_eq!(hash, hash_request(&Method::POST, "/pay?a=1", Some("text/plain"), b"paid 100"));
        }
        assert!(buffer(in_frames(&[b"paid", b" 100"]), Some(7)).await.is_err());
    }
}
