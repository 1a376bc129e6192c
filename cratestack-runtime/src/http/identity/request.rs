use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Uri, header};
use http_body::{Body as _, Frame};

use super::fingerprint::RequestHasher;
use super::tapped_body::{BodyTap, tap};
use crate::store::MAX_BODY_BYTES;

/// RFC 9110, 9.2.1: what changes nothing needs no guard.
pub(crate) fn is_safe(method: &Method) -> bool {
    method.is_safe()
}

/// The request with its body tapped, and the guard's end of that. The bound is `bound`, or else axum's.
pub(crate) fn tapped(request: Request, bound: Option<usize>) -> (Request, BodyTap) {
    let (request, limit) = if let Some(bound) = bound {
        let mut request = request;
        // The body is held to the bound; axum's own limit would only disagree with it.
        DefaultBodyLimit::disable().apply(&mut request);
        (request, bound)
    } else {
        let (request, limit) = axum_limit(request);
        (request, limit.unwrap_or(MAX_BODY_BYTES))
    };
    let (parts, body) = request.into_parts();
    let (tap, body) = tap(body, limit, hasher_of(&parts));
    (Request::from_parts(parts, Body::new(body)), tap)
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
