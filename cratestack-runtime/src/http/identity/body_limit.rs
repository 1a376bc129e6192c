use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use bytes::Bytes;
use http_body::{Body as _, Frame};

use super::tapped_body::{BodyPlace, BodyTap, tap};
use crate::store::MAX_BODY_BYTES;

/// How many bytes of a body are read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BodyBound {
    /// As many as axum would read.
    OfAxum,
    /// So many, whatever axum's own limit is, which would only disagree.
    InPlaceOfAxum(usize),
    /// So many, and whoever reads the body next has a limit of its own.
    BesideOthers(usize),
}

/// The request with its body tapped, and the guard's end of that.
pub(crate) fn tapped(request: Request, bound: BodyBound, place: BodyPlace) -> (Request, BodyTap) {
    let (request, limit) = match bound {
        BodyBound::OfAxum => {
            let (request, limit) = axum_limit(request);
            (request, limit.unwrap_or(MAX_BODY_BYTES))
        }
        BodyBound::InPlaceOfAxum(bytes) => {
            let mut request = request;
            DefaultBodyLimit::disable().apply(&mut request);
            (request, bytes)
        }
        BodyBound::BesideOthers(bytes) => (request, bytes),
    };
    let (parts, body) = request.into_parts();
    let (tap, body) = tap(place, body, limit);
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
