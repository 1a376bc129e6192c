//! The body of a guarded request. It must be hashed, but not before the extractors have said who is calling, and
//! whoever takes it must get all of it. So it lies in a slot with two ends: the guard has a [`BodyTap`], and the
//! request has a [`TappedBody`] in its body's place.
//!
//! 1. The guard has read the key and puts the body into the slot. Nobody has polled it: a client that expects
//!    `100 Continue` is not told to go on, and what it sends all the same stays in the connection.
//! 2. The extractors run. Where one takes the body, its polls reach the real one: each frame is counted, hashed and
//!    passed on, and the slot keeps nothing. A rejection ends the request here, and the rest of the body is never read.
//!    Where the body itself is what failed (it broke off, or is over its bound), that is the answer instead of the
//!    rejection.
//! 3. The extractors have let the request pass, and the guard reads on to the end. The request's end no longer polls
//!    the real body. Where an argument (a `Request`, a `Multipart`) holds that end, what comes is kept for it; where it
//!    was dropped, nobody will read what comes, and it is hashed and thrown away.
//! 4. The hash is whole, and the key is reserved.
//! 5. The handler runs. An argument that holds the request's end reads what was kept, which is all that it has not
//!    read.
//!
//! Two may poll in step 3, because an extractor may have handed its end to another task: that one sleeps until the
//! guard has kept something for it. If the client goes away meanwhile, the guard's future is dropped, and it is woken
//! to an error.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use axum::BoxError;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{Full, LengthLimitError, Limited};

use super::fingerprint::RequestHasher;
use crate::handle::Beside;
use crate::util::lock;

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge {
        /// The most bytes that a body may have, where the limit is the guard's own.
        limit: Option<usize>,
    },
    /// It could not be read to its end.
    Incomplete,
}

/// Where a request's body is put, beside its reservation.
pub(crate) type BodyPlace = Beside<Mutex<BodySlot>>;

/// Puts a body of at most `limit` bytes into its place.
pub(crate) fn tap(place: BodyPlace, body: Body, limit: usize) -> (BodyTap, TappedBody) {
    {
        let mut slot = lock(&place);
        (slot.body, slot.limit) = (body, limit);
    }
    (BodyTap(place.clone()), TappedBody(place))
}

/// The guard's end.
pub(crate) struct BodyTap(BodyPlace);

/// The request's end.
pub(crate) struct TappedBody(BodyPlace);

/// A panic of the real body leaves nothing half done here.
pub(crate) struct BodySlot {
    body: Body,
    hasher: RequestHasher,
    limit: usize,
    /// How many bytes have come.
    arrived: usize,
    /// How the body ended, once it has.
    end: Option<Result<(), BodyError>>,
    /// What the guard met and the request's end has yet to be told.
    error: Option<BoxError>,
    kept: Unread,
    /// Only the guard polls the body from now on.
    is_read_on: bool,
    /// The request's end is still there.
    is_wanted: bool,
    /// Whoever polled the request's end last and has to be woken.
    reader: Option<Waker>,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl BodySlot {
    /// For a body that is yet to be put there; `hasher` has seen what comes before it.
    pub(crate) fn after(hasher: RequestHasher) -> Mutex<Self> {
        Mutex::new(Self {
            body: Body::empty(),
            hasher,
            limit: 0,
            arrived: 0,
            end: None,
            error: None,
            kept: Unread::default(),
            is_read_on: false,
            is_wanted: true,
            reader: None,
        })
    }

    /// The next frame of the real body, counted and hashed.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Polled {
        // A length that is announced over the limit needs no reading.
        if self.body.size_hint().lower().saturating_add(self.arrived as u64) > self.limit as u64 {
            return self.fail(BodyError::TooLarge { limit: Some(self.limit) }, over_the_limit());
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.end = Some(Ok(()));
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.data_ref().map(Bytes::as_ref).unwrap_or_default();
                self.arrived = self.arrived.saturating_add(data.len());
                if self.arrived > self.limit {
                    return self.fail(BodyError::TooLarge { limit: Some(self.limit) }, over_the_limit());
                }
                self.hasher.update(data);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                // axum wraps a body's error in one of its own, and looks for the cause below a fixed number of them.
                let error = error.into_inner();
                let problem = if is_caused_by_a_limit(&*error) {
                    BodyError::TooLarge { limit: None }
                } else {
                    BodyError::Incomplete
                };
                self.fail(problem, error)
            }
        }
    }

    fn fail(&mut self, problem: BodyError, error: BoxError) -> Polled {
        self.end = Some(Err(problem));
        Poll::Ready(Some(Err(error)))
    }

    /// Reads all that is there already; says whether that was the end.
    fn read_on(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_read_on = true;
        while self.end.is_none() {
            match self.poll_body(cx) {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(frame))) if self.is_wanted => self.kept.push(frame),
                Poll::Ready(Some(Err(error))) => self.error = Some(error),
                Poll::Ready(_) => {}
            }
        }
        true
    }

    /// Leaves word whom to wake. What it returns is to be dropped after the lock is free, because a waker may own its
    /// task, and that the request's end.
    fn sleep(&mut self, cx: &Context<'_>) -> Option<Waker> {
        match &self.reader {
            Some(reader) if reader.will_wake(cx.waker()) => None,
            _ => self.reader.replace(cx.waker().clone()),
        }
    }
}

impl BodyTap {
    /// What is wrong with as much of the body as has been read.
    pub(crate) fn problem(&self) -> Option<BodyError> {
        lock(&self.0).end.and_then(Result::err)
    }

    /// Reads what the extractors have left, and says what the request looks like as a whole.
    pub(crate) async fn read_on(self) -> Result<[u8; 32], BodyError> {
        poll_fn(|cx| {
            let mut slot = lock(&self.0);
            let is_over = slot.read_on(cx);
            let hash = match slot.end {
                Some(Ok(())) => Ok(slot.hasher.clone().finish()),
                Some(Err(problem)) => Err(problem),
                None => Err(BodyError::Incomplete),
            };
            // After step 2 it is as a rule the guard's own task that polled last.
            let reader = slot.reader.take().filter(|reader| !reader.will_wake(cx.waker()));
            drop(slot);
            if let Some(reader) = reader {
                reader.wake();
            }
            if is_over { Poll::Ready(hash) } else { Poll::Pending }
        })
        .await
    }
}

impl Drop for BodyTap {
    fn drop(&mut self) {
        let mut slot = lock(&self.0);
        if !slot.is_read_on || slot.end.is_some() {
            return;
        }
        slot.end = Some(Err(BodyError::Incomplete));
        slot.error = Some("the request was given up before its body had come".into());
        let reader = slot.reader.take();
        drop(slot);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl http_body::Body for TappedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let mut slot = lock(&self.0);
        if let Some(frame) = slot.kept.pop() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if slot.end.is_some() {
            return Poll::Ready(slot.error.take().map(Err));
        }
        let polled = if slot.is_read_on { Poll::Pending } else { slot.poll_body(cx) };
        // The guard may poll next, and the real body wakes only who polled it last.
        let former = if polled.is_pending() { slot.sleep(cx) } else { None };
        drop(slot);
        drop(former);
        polled
    }

    fn is_end_stream(&self) -> bool {
        let slot = lock(&self.0);
        slot.kept.is_empty() && slot.error.is_none() && (slot.end.is_some() || slot.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let slot = lock(&self.0);
        let rest = if slot.end.is_some() { SizeHint::with_exact(0) } else { slot.body.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(slot.kept.bytes));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(slot.kept.bytes));
        }
        hint
    }
}

impl Drop for TappedBody {
    fn drop(&mut self) {
        let mut slot = lock(&self.0);
        slot.is_wanted = false;
        let unread = (std::mem::take(&mut slot.kept), slot.reader.take());
        drop(slot);
        drop(unread);
    }
}

/// What has come and was not read yet.
#[derive(Default)]
struct Unread {
    whole: VecDeque<Bytes>,
    /// Small frames in one piece, after all of `whole`.
    small: BytesMut,
    trailers: Option<HeaderMap>,
    bytes: u64,
}

/// A client that sends its body byte by byte must not make us keep a frame for each.
const SMALL_FRAME_BYTES: usize = 1024;

impl Unread {
    fn push(&mut self, frame: Frame<Bytes>) {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                self.trailers = frame.into_trailers().ok().or(self.trailers.take());
                return;
            }
        };
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        let is_first = self.whole.is_empty() && self.small.is_empty();
        if data.len() < SMALL_FRAME_BYTES && !is_first {
            self.small.extend_from_slice(&data);
        } else if !data.is_empty() {
            if !self.small.is_empty() {
                self.whole.push_back(self.small.split().freeze());
            }
            self.whole.push_back(data);
        }
    }

    fn pop(&mut self) -> Option<Frame<Bytes>> {
        let small = || (!self.small.is_empty()).then(|| self.small.split().freeze());
        let Some(data) = self.whole.pop_front().or_else(small) else {
            return self.trailers.take().map(Frame::trailers);
        };
        self.bytes = self.bytes.saturating_sub(data.len() as u64);
        Some(Frame::data(data))
    }

    fn is_empty(&self) -> bool {
        self.bytes == 0 && self.trailers.is_none()
    }
}

/// The error by which axum knows that a body is too large. It can be had only from a body that is.
fn over_the_limit() -> BoxError {
    let mut body = Limited::new(Full::new(Bytes::from_static(b"-")), 0);
    match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Err(error))) => error,
        _ => "the request body is too large".into(),
    }
}

/// A layer in front of the handler may have a limit of its own, as `tower_http::limit` has.
fn is_caused_by_a_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(<dyn std::error::Error>::is::<LengthLimitError>)
}

#[cfg(test)]
#[path = "tapped_body_tests.rs"]
mod tests;
