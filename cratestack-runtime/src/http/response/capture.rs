use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

use crate::util::{catch_panic, timeout};

/// A response, of which is known whether it can be kept.
pub(crate) enum Captured {
    /// All of it is here.
    Whole(Response<()>, Bytes),
    /// It cannot be replayed; the response is the live one, unharmed.
    Unkept(Response, Unkept),
}

/// Why a response cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unkept {
    /// The body is larger than the bound.
    TooLarge,
    /// The body is a stream of events, or did not end within the time that a record waits for it.
    Unending,
    /// The body ends with trailers, for which a record has no place.
    Trailers,
    /// The body failed before its end.
    Failed,
    /// The connection changes its protocol.
    Upgrade,
}

/// How long a body that arrives in pieces may take before it is passed on as a stream.
const CAPTURE_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a response's body up to `bound` bytes.
pub(crate) async fn capture(response: Response, bound: usize) -> Captured {
    let (parts, body) = response.into_parts();
    let early = if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        Some(Unkept::Upgrade)
    } else if is_event_stream(&parts.headers) {
        Some(Unkept::Unending)
    } else {
        // A hint that panics announces nothing.
        let hint = catch_unwind(AssertUnwindSafe(|| http_body::Body::size_hint(&body).lower()));
        (hint.unwrap_or(0) > bound as u64).then_some(Unkept::TooLarge)
    };
    if let Some(why) = early {
        return Captured::Unkept(Response::from_parts(parts, harmless(body)), why);
    }
    let mut taken = PartlyRead { first: None, frames: VecDeque::new(), bytes: 0, rest: body };
    let read = {
        // Pinned here, and not by each future around it, which would be as large again.
        let filling = pin!(taken.fill(bound));
        timeout(CAPTURE_TIMEOUT, filling).await.unwrap_or(Err(Unkept::Unending))
    };
    match read {
        Ok(()) => Captured::Whole(Response::from_parts(parts, ()), taken.concat()),
        Err(why) => Captured::Unkept(Response::from_parts(parts, Body::new(taken)), why),
    }
}

/// A body that the handler is done with, and that is not read here. It may be dropped where the outcome is dealt with,
/// and a panic there must not take that along.
pub(crate) fn harmless(body: Body) -> Body {
    Body::new(PartlyRead { first: None, frames: VecDeque::new(), bytes: 0, rest: body })
}

fn is_event_stream(headers: &http::HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/event-stream")
}

/// A body of which the first frames have been read; as a body it gives them back before the rest. Its drop does not
/// panic, whatever that of the rest does.
struct PartlyRead {
    /// Most bodies have one frame, which then needs no queue.
    first: Option<Result<Frame<Bytes>, axum::Error>>,
    frames: VecDeque<Result<Frame<Bytes>, axum::Error>>,
    bytes: usize,
    rest: Body,
}

impl PartlyRead {
    async fn fill(&mut self, bound: usize) -> Result<(), Unkept> {
        while let Some(frame) = self.next().await {
            let disposition = match frame.as_ref().map(Frame::data_ref) {
                Err(_) => Err(Unkept::Failed),
                Ok(None) => Err(Unkept::Trailers),
                Ok(Some(data)) => {
                    self.bytes = self.bytes.saturating_add(data.len());
                    if self.bytes > bound { Err(Unkept::TooLarge) } else { Ok(()) }
                }
            };
            if self.first.is_none() && self.frames.is_empty() {
                self.first = Some(frame);
            } else {
                self.frames.push_back(frame);
            }
            disposition?;
        }
        Ok(())
    }

    /// The next frame. The effect has happened, so a body that panics must not give the key back: it is a response that
    /// broke off.
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, axum::Error>> {
        let Some(frame) = catch_panic(self.rest.frame()).await else {
            self.drop_rest();
            return Some(Err(axum::Error::new("the response body panicked")));
        };
        frame
    }

    /// All the data; a single frame is not copied.
    fn concat(mut self) -> Bytes {
        let frames = std::mem::take(&mut self.frames);
        let mut pieces = self.first.take().into_iter().chain(frames).filter_map(|frame| frame.ok()?.into_data().ok());
        let Some(first) = pieces.next() else { return Bytes::new() };
        let Some(second) = pieces.next() else { return first };
        let mut whole = BytesMut::with_capacity(self.bytes);
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        pieces.for_each(|piece| whole.extend_from_slice(&piece));
        whole.freeze()
    }

    /// A body is the handler's own code, and so is its drop. The effect has happened, so a panic in it is worth a line
    /// in the log, which the panic hook writes, and nothing else.
    fn drop_rest(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(rest)));
    }
}

impl Drop for PartlyRead {
    fn drop(&mut self) {
        self.drop_rest();
    }
}

impl http_body::Body for PartlyRead {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.first.take().or_else(|| self.frames.pop_front()) {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.frames.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let taken = self.first.iter().chain(&self.frames).filter_map(|frame| frame.as_ref().ok()?.data_ref());
        let taken = taken.map(Bytes::len).sum::<usize>();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(taken as u64));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(taken as u64));
        }
        hint
    }
}
