use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;

use super::*;
use crate::handle::ReservationSlot;
use crate::http::hash_request;

fn hasher() -> RequestHasher {
    RequestHasher::new(&Method::POST, "/pay?a=1", Some("text/plain"))
}

fn tap(body: Body, limit: usize, hasher: RequestHasher) -> (BodyTap, TappedBody) {
    super::tap(ReservationSlot::beside(None, BodySlot::after(hasher)).1, body, limit)
}

fn hash_of(body: &[u8]) -> [u8; 32] {
    hash_request(&Method::POST, "/pay?a=1", Some("text/plain"), body)
}

fn trailers() -> Frame<Bytes> {
    Frame::trailers(HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("7"))]))
}

fn of_frames(frames: Vec<Frame<Bytes>>) -> Body {
    Body::new(StreamBody::new(stream::iter(frames.into_iter().map(Ok::<_, Infallible>))))
}

fn in_pieces(pieces: &[&'static str]) -> Vec<Frame<Bytes>> {
    pieces.iter().map(|piece| Frame::data(Bytes::from_static(piece.as_bytes()))).collect()
}

/// A body that arrives as it is sent.
fn of_channel(frames: mpsc::UnboundedReceiver<Frame<Bytes>>) -> Body {
    let frames = stream::unfold(frames, async |mut frames| Some((Ok::<_, Infallible>(frames.recv().await?), frames)));
    Body::new(StreamBody::new(frames))
}

#[tokio::test]
async fn one_frame_is_not_copied() {
    const FRAME: &str = "a frame of its own";
    for is_read_on_first in [false, true] {
        let (guards, requests) = tap(of_frames(in_pieces(&[FRAME])), 100, hasher());
        if is_read_on_first {
            guards.read_on().await.unwrap();
        }
        let body = requests.collect().await.unwrap().to_bytes();
        assert_eq!(body.as_ptr(), FRAME.as_ptr());
    }
}

#[tokio::test]
async fn whoever_reads_how_much_all_of_it_is_hashed_and_reaches_the_request() {
    const PIECES: [&str; 7] = ["", "paid", "", " 1", "00", " in", " all"];
    for first in 0..=PIECES.len() {
        let mut frames = in_pieces(&PIECES);
        frames.push(trailers());
        let (guards, mut requests) = tap(of_frames(frames), 15, hasher());
        let mut read = Vec::new();
        for _ in 0..first {
            read.extend(requests.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(guards.read_on().await.unwrap(), hash_of(b"paid 100 in all"), "{first}");
        let left = 15 - read.len() as u64;
        assert_eq!((requests.size_hint().exact(), requests.is_end_stream()), (Some(left), false), "{first}");
        let rest = requests.collect().await.unwrap();
        assert_eq!(rest.trailers().unwrap()["x-sum"], "7");
        read.extend(rest.to_bytes());
        assert_eq!(String::from_utf8(read).unwrap(), "paid 100 in all", "{first}");
    }
}

#[tokio::test]
async fn what_nobody_will_read_is_hashed_and_not_kept() {
    let (guards, mut requests) = tap(of_frames(in_pieces(&["paid", " 1", "00"])), 8, hasher());
    let slot = guards.0.clone();
    requests.frame().await.unwrap().unwrap();
    drop(requests);
    assert_eq!(guards.read_on().await.unwrap(), hash_of(b"paid 100"));
    let slot = lock(&slot);
    assert!(slot.kept.is_empty() && slot.kept.whole.is_empty() && slot.kept.small.is_empty());
}

#[tokio::test]
async fn the_bound_holds_whoever_reads() {
    for first in 0..=3 {
        let (guards, mut requests) = tap(of_frames(in_pieces(&["paid", " 1", "00"])), 7, hasher());
        for _ in 0..first {
            let _ = requests.frame().await.unwrap();
        }
        let problem = guards.read_on().await.unwrap_err();
        assert_eq!(problem, BodyError::TooLarge { limit: Some(7) }, "{first}");
        if first == 3 {
            assert!(requests.frame().await.is_none(), "told once");
        }
    }
}

/// It counts how often it was polled.
struct Counted(Arc<AtomicUsize>, u64);

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.1)
    }
}

#[tokio::test]
async fn what_is_announced_over_the_bound_is_not_read() {
    let polls = Arc::new(AtomicUsize::new(0));
    let (guards, mut requests) = tap(Body::new(Counted(Arc::clone(&polls), 8)), 7, hasher());
    assert_eq!(requests.size_hint().exact(), Some(8));
    assert!(guards.problem().is_none(), "nobody has looked");
    let error = requests.frame().await.unwrap().unwrap_err();
    assert!(error.is::<LengthLimitError>(), "axum knows it by that");
    assert_eq!(guards.problem(), Some(BodyError::TooLarge { limit: Some(7) }));
    assert_eq!(polls.load(Ordering::SeqCst), 0);
}

/// An extractor may have handed the body to a task of its own, which then reads beside the guard.
#[tokio::test]
async fn another_task_that_reads_beside_the_guard_gets_all_of_it() {
    for pieces in [1, 100] {
        let (sender, frames) = mpsc::unbounded_channel();
        let (guards, requests) = tap(of_channel(frames), 1000, hasher());
        let reader = tokio::spawn(requests.collect());
        tokio::task::yield_now().await;
        let guard = tokio::spawn(guards.read_on());
        for _ in 0..pieces {
            sender.send(Frame::data(Bytes::from_static(b"paid"))).unwrap();
            tokio::task::yield_now().await;
        }
        drop(sender);
        let whole = "paid".repeat(pieces);
        assert_eq!(guard.await.unwrap().unwrap(), hash_of(whole.as_bytes()));
        assert_eq!(reader.await.unwrap().unwrap().to_bytes(), whole);
    }
}

#[tokio::test]
async fn another_task_is_told_that_the_guard_has_given_up() {
    let (sender, frames) = mpsc::unbounded_channel();
    let (guards, requests) = tap(of_channel(frames), 1000, hasher());
    let reader = tokio::spawn(requests.collect());
    let guard = tokio::spawn(guards.read_on());
    sender.send(Frame::data(Bytes::from_static(b"paid"))).unwrap();
    tokio::task::yield_now().await;
    guard.abort();
    assert!(reader.await.unwrap().is_err(), "it does not take a part for the whole");
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_kept_in_large_pieces() {
    let bytes = (0..10_000).map(|_| Frame::data(Bytes::from_static(b"x"))).collect();
    let (guards, requests) = tap(of_frames(bytes), 10_000, hasher());
    let slot = guards.0.clone();
    guards.read_on().await.unwrap();
    assert_eq!(lock(&slot).kept.whole.len(), 1, "the first frame is as it came, the others lie together");
    assert_eq!(requests.collect().await.unwrap().to_bytes(), "x".repeat(10_000));
}
