use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use bytes::Bytes;
use http_body::{Body as _, Frame};

use super::fingerprint::RequestHasher;
use super::tapped_body::{BodyTap, tap};
use crate::store::MAX_BODY_BYTES;

/// The request with its body tapped, and the guard's end of that. The bound is `bound`, or else axum's; `hasher` has
/// seen what comes before the body.
pub(crate) fn tapped(request: Request, bound: Option<usize>, hasher: RequestHasher) -> (Request, BodyTap) {
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
    let (tap, body) = tap(body, limit, hasher);
    (Request::from_parts(parts, Body::new(body)), tap)
}

/// The limit that axum applies to this request; `None` where it is disabled.
///
/// axum does not tell the number. But it announces it: a limited body of unknown length has the limit as its upper
/// size.
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
