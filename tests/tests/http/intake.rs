//! A body is read after the caller is known, by whoever takes it, and all of it is compared.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Form, FromRef, FromRequestParts, Json, Multipart, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::middleware::map_request;
use axum::routing::post;
use axum::{Router, http};
use bytes::Bytes;
use cratestack_runtime::{Idempotency, MAX_BODY_BYTES, MemoryStore, SqliteStore, Tx, idempotent};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Frame, SizeHint};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::app::{Answer, request, send};

/// Who may call.
struct Caller;

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let may = parts.headers.get("authorization").is_some_and(|value| value == "Bearer alice");
        may.then_some(Self).ok_or(StatusCode::UNAUTHORIZED)
    }
}

#[derive(Clone, FromRef)]
struct Desk {
    idempotency: Idempotency,
    runs: Arc<AtomicUsize>,
    handle_is_argument: bool,
}

impl Desk {
    fn each() -> [Self; 2] {
        Self::each_over(|| Idempotency::new(MemoryStore::new()))
    }

    /// One whose handlers find the handle in the state, and one whose handlers take it from an argument.
    fn each_over(idempotency: impl Fn() -> Idempotency) -> [Self; 2] {
        [false, true].map(|handle_is_argument| {
            let (idempotency, runs) = (idempotency(), Arc::default());
            Self { idempotency, runs, handle_is_argument }
        })
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    fn got(&self, body: impl AsRef<[u8]>) -> String {
        self.runs.fetch_add(1, Ordering::SeqCst);
        String::from_utf8_lossy(body.as_ref()).into_owned()
    }

    fn router(&self) -> Router {
        if self.handle_is_argument { of_arguments::router(self.clone()) } else { of_state::router(self.clone()) }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        send(self.router(), request).await
    }
}

#[derive(Deserialize)]
struct Amount {
    amount: String,
}

/// The handlers, whose handle is the state's or one of their arguments'.
macro_rules! handlers {
    ($door:ident, $desk:ident, $($handle:tt)*) => {
        mod $door {
            use super::*;

            pub fn router(desk: Desk) -> Router {
                Router::new()
                    .route("/nothing", post(nothing).get(nothing))
                    .route("/bytes", post(bytes))
                    .route("/string", post(string))
                    .route("/json", post(json))
                    .route("/json-or-not", post(json_or_not))
                    .route("/form", post(form))
                    .route("/request", post(whole_request))
                    .route("/body", post(body))
                    .route("/multipart", post(multipart))
                    .route("/optional", post(optional))
                    .route("/keyed", post(keyed))
                    .route("/small", post(small))
                    .with_state(desk)
            }

            #[idempotent($($handle)*)]
            pub async fn nothing(_: Caller, State($desk): State<Desk>) -> String {
                $desk.got("")
            }

            #[idempotent($($handle)*)]
            pub async fn bytes(_: Caller, State($desk): State<Desk>, body: Bytes) -> String {
                $desk.got(body)
            }

            #[idempotent($($handle)*)]
            pub async fn string(_: Caller, State($desk): State<Desk>, body: String) -> String {
                $desk.got(body)
            }

            #[idempotent($($handle)*)]
            pub async fn json(_: Caller, State($desk): State<Desk>, Json(body): Json<Amount>) -> String {
                $desk.got(body.amount)
            }

            /// Where the content type is another one, `Json` rejects without a look at the body.
            #[idempotent($($handle)*)]
            pub async fn json_or_not(
                _: Caller,
                State($desk): State<Desk>,
                body: Result<Json<Amount>, JsonRejection>,
            ) -> String {
                $desk.got(body.map_or_else(|rejection| rejection.to_string(), |Json(body)| body.amount))
            }

            #[idempotent($($handle)*)]
            pub async fn form(_: Caller, State($desk): State<Desk>, Form(body): Form<Amount>) -> String {
                $desk.got(body.amount)
            }

            #[idempotent($($handle)*)]
            pub async fn whole_request(_: Caller, State($desk): State<Desk>, request: Request<Body>) -> String {
                let length = request.body().size_hint().exact().unwrap();
                let collected = request.into_body().collect().await.unwrap();
                let trailers = collected.trailers().map_or(0, HeaderMap::len);
                let body = collected.to_bytes();
                assert_eq!(body.len() as u64, length, "all of it has come before the handler runs");
                $desk.got([&body[..], "+".repeat(trailers).as_bytes()].concat())
            }

            #[idempotent($($handle)*)]
            pub async fn body(_: Caller, State($desk): State<Desk>, body: Body) -> String {
                $desk.got(body.collect().await.unwrap().to_bytes())
            }

            #[idempotent($($handle)*)]
            pub async fn multipart(_: Caller, State($desk): State<Desk>, mut body: Multipart) -> String {
                let mut fields = String::new();
                while let Some(field) = body.next_field().await.unwrap() {
                    fields += &field.text().await.unwrap();
                }
                $desk.got(fields)
            }

            #[idempotent(optional, $($handle)*)]
            pub async fn optional(_: Caller, State($desk): State<Desk>) -> String {
                $desk.got("")
            }

            #[idempotent(key = req.amount, $($handle)*)]
            pub async fn keyed(_: Caller, State($desk): State<Desk>, Json(req): Json<Amount>) -> String {
                $desk.got(req.amount)
            }

            #[idempotent(body_limit = 8, $($handle)*)]
            pub async fn small(_: Caller, State($desk): State<Desk>, body: Body) -> String {
                $desk.got(body.collect().await.unwrap().to_bytes())
            }
        }
    };
}

handlers!(of_state, desk,);
handlers!(of_arguments, desk, handle = desk.idempotency);

const MULTIPART: &str = "--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n{}\r\n--b--\r\n";

/// Each kind of argument, the content type that it wants, and the body that tells it `amount`.
fn kinds(amount: &str) -> [(&'static str, &'static str, String); 9] {
    let json = format!(r#"{{"amount":"{amount}"}}"#);
    [
        ("/nothing", "text/plain", amount.to_owned()),
        ("/bytes", "text/plain", amount.to_owned()),
        ("/string", "text/plain", amount.to_owned()),
        ("/json", "application/json", json.clone()),
        ("/json-or-not", "text/plain", json),
        ("/form", "application/x-www-form-urlencoded", format!("amount={amount}")),
        ("/request", "text/plain", amount.to_owned()),
        ("/body", "text/plain", amount.to_owned()),
        ("/multipart", "multipart/form-data; boundary=b", MULTIPART.replace("{}", amount)),
    ]
}

fn ask(key: &str, uri: &str, content_type: &'static str, body: Body) -> Request<Body> {
    let mut request = request(key, uri, "");
    request.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    *request.body_mut() = body;
    request
}

/// A body in frames of a few bytes, between which its reader has to wait.
fn in_pieces(body: &str) -> Body {
    let mut frames: Vec<_> =
        body.as_bytes().chunks(3).map(|piece| Frame::data(Bytes::copy_from_slice(piece))).collect();
    frames.push(Frame::trailers(HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("7"))])));
    let frames = stream::unfold(frames.into_iter(), async |mut frames| {
        tokio::task::yield_now().await;
        Some((Ok::<_, Infallible>(frames.next()?), frames))
    });
    Body::new(StreamBody::new(frames))
}

#[tokio::test]
async fn whatever_takes_the_body_gets_it_and_all_of_it_is_compared() {
    for desk in Desk::each() {
        for ((uri, content_type, body), (_, _, other)) in kinds("one hundred").into_iter().zip(kinds("two hundred")) {
            let runs = desk.runs();
            let first = desk.send(ask(uri, uri, content_type, in_pieces(&body))).await;
            let told = match uri {
                "/nothing" => "",
                "/json-or-not" => "Expected request with `Content-Type: application/json`",
                "/request" => "one hundred+",
                _ => "one hundred",
            };
            assert_eq!((first.status, &first.body[..]), (StatusCode::OK, told.as_bytes()), "{uri}");
            let again = desk.send(ask(uri, uri, content_type, Body::from(body))).await;
            assert_eq!((again.is_replay(), &again.body), (true, &first.body), "{uri}");
            let conflict = desk.send(ask(uri, uri, content_type, in_pieces(&other))).await;
            assert_eq!(conflict.code(), "idempotency_key_conflict", "{uri}");
            assert_eq!(desk.runs(), runs + 1, "{uri}");
        }
    }
}

#[tokio::test]
async fn over_the_bound_is_413_whoever_takes_the_body_and_reserves_nothing() {
    for desk in Desk::each_over(|| Idempotency::new(MemoryStore::new()).max_request_bytes(200)) {
        for ((uri, content_type, large), (_, _, body)) in kinds(&"x".repeat(201)).into_iter().zip(kinds("x")) {
            for large in [in_pieces(&large), Body::from(large)] {
                let refused = desk.send(ask(uri, uri, content_type, large)).await;
                assert_eq!(
                    (refused.status, refused.code().as_str()),
                    (StatusCode::PAYLOAD_TOO_LARGE, "idempotency_request_too_large"),
                    "{uri}"
                );
            }
            let fits = desk.send(ask(uri, uri, content_type, Body::from(body))).await;
            assert_eq!((fits.status, fits.is_replay()), (StatusCode::OK, false), "{uri}");
        }
        assert_eq!(desk.send(ask("k2", "/small", "text/plain", in_pieces("8 bytes."))).await.body, "8 bytes.");
        let refused = desk.send(ask("k3", "/small", "text/plain", in_pieces("9 bytes.."))).await;
        assert_eq!(refused.code(), "idempotency_request_too_large", "the attribute's bound");
    }
}

#[tokio::test]
async fn cut_short_is_400_whoever_takes_the_body_and_reserves_nothing() {
    for desk in Desk::each() {
        for (uri, content_type, body) in kinds("one hundred") {
            let piece = Ok(Bytes::copy_from_slice(&body.as_bytes()[..5]));
            let cut = [piece, Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
            let refused = desk.send(ask(uri, uri, content_type, Body::from_stream(stream::iter(cut)))).await;
            assert_eq!(refused.code(), "idempotency_request_incomplete", "{uri}");
            let whole = desk.send(ask(uri, uri, content_type, Body::from(body))).await;
            assert_eq!((whole.status, whole.is_replay()), (StatusCode::OK, false), "{uri}");
        }
    }
}

/// It never comes, and counts how often it was asked for.
#[derive(Clone, Default)]
struct Never(Arc<AtomicUsize>);

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Pending
    }
}

#[tokio::test]
async fn where_nothing_is_guarded_the_body_is_not_waited_for() {
    for desk in Desk::each() {
        let never = Never::default();
        let mut safe = ask("k1", "/nothing", "text/plain", Body::new(never.clone()));
        *safe.method_mut() = Method::GET;
        assert_eq!(desk.send(safe).await.status, StatusCode::OK);
        let mut keyless = ask("k1", "/optional", "text/plain", Body::new(never.clone()));
        keyless.headers_mut().remove("idempotency-key");
        assert_eq!(desk.send(keyless).await.status, StatusCode::OK);
        let mut missing = ask("k1", "/nothing", "text/plain", Body::new(never.clone()));
        missing.headers_mut().remove("idempotency-key");
        assert_eq!(desk.send(missing).await.code(), "idempotency_key_missing");
        assert_eq!((desk.runs(), never.0.load(Ordering::SeqCst)), (2, 0));
    }
}

#[derive(Clone, FromRef)]
struct Bank {
    idempotency: Idempotency<SqliteStore>,
}

#[idempotent(transaction)]
async fn in_a_transaction(_: Caller, _tx: Tx<sqlx::Sqlite>, body: Body) -> Bytes {
    body.collect().await.unwrap().to_bytes()
}

#[idempotent(transaction, handle = bank.idempotency)]
async fn in_a_transaction_of_argument(_: Caller, _tx: Tx<sqlx::Sqlite>, State(bank): State<Bank>, body: Body) -> Bytes {
    body.collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn who_may_not_call_is_told_so_without_a_look_at_the_body() {
    let pool = sqlx::pool::PoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    let store = SqliteStore::new(pool);
    store.migrate().await.unwrap();
    let idempotency = Idempotency::transactional(store).max_request_bytes(20);
    let bank = Router::new()
        .route("/transaction", post(in_a_transaction))
        .route("/transaction-of-argument", post(in_a_transaction_of_argument))
        .with_state(Bank { idempotency });
    for desk in Desk::each_over(|| Idempotency::new(MemoryStore::new()).max_request_bytes(20)) {
        let router = desk.router().merge(bank.clone());
        let all = kinds("").map(|(uri, content_type, _)| (uri, content_type));
        let others = [
            ("/keyed", "application/json"),
            ("/transaction", "text/plain"),
            ("/transaction-of-argument", "text/plain"),
        ];
        for (uri, content_type) in all.into_iter().chain(others) {
            let never = Never::default();
            for body in [Body::new(never.clone()), Body::from("x".repeat(21))] {
                let mut stranger = ask(uri, uri, content_type, body);
                stranger.headers_mut().remove("authorization");
                let told = timeout(Duration::from_secs(30), send(router.clone(), stranger)).await;
                assert_eq!(told.expect("the body is not waited for").status, StatusCode::UNAUTHORIZED, "{uri}");
            }
            assert_eq!(never.0.load(Ordering::SeqCst), 0, "{uri}");
            let large = send(router.clone(), ask(uri, uri, content_type, Body::from("x".repeat(21)))).await;
            assert_eq!(large.code(), "idempotency_request_too_large", "{uri}");
        }
        for uri in ["/transaction", "/transaction-of-argument"] {
            let key = format!("{uri}-{}", desk.handle_is_argument);
            let first = send(router.clone(), ask(&key, uri, "text/plain", in_pieces("paid"))).await;
            assert_eq!((first.is_replay(), &first.body[..]), (false, &b"paid"[..]), "{uri}");
            assert!(send(router.clone(), ask(&key, uri, "text/plain", in_pieces("paid"))).await.is_replay(), "{uri}");
        }
    }
}

/// A body of which is counted how much was read.
struct Metered(Body, Arc<AtomicUsize>);

impl hyper::body::Body for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.1.fetch_add(frame.data_ref().map_or(0, Bytes::len), Ordering::SeqCst);
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A server on a socket, and how much of all bodies it has read.
async fn serve(desk: &Desk) -> (SocketAddr, Arc<AtomicUsize>) {
    let read = Arc::<AtomicUsize>::default();
    let meter = map_request({
        let read = Arc::clone(&read);
        move |request: Request<Body>| {
            let read = Arc::clone(&read);
            std::future::ready(request.map(|body| Body::new(Metered(body, read))))
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = desk.router().layer(meter);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, read)
}

fn head(uri: &str, length: usize, more: &str) -> String {
    format!("POST {uri} HTTP/1.1\r\nhost: x\r\nidempotency-key: k1\r\ncontent-length: {length}\r\n{more}\r\n")
}

/// The next status line and what comes with it.
async fn answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = Vec::new();
    let reading = async {
        while !text.ends_with(b"\r\n\r\n") {
            text.push(stream.read_u8().await.unwrap());
        }
    };
    timeout(Duration::from_secs(30), reading).await.expect("the server answers");
    String::from_utf8(text).unwrap()
}

/// Two hundred strangers, each of whom sends all of a body but its last byte, and keeps the connection.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_make_the_service_hold_their_bodies() {
    for desk in Desk::each() {
        let (address, read) = serve(&desk).await;
        let strangers = (0..200).map(async |_| {
            let (mut input, mut output) = TcpStream::connect(address).await.unwrap().into_split();
            let sending = tokio::spawn(async move {
                output.write_all(head("/bytes", MAX_BODY_BYTES, "").as_bytes()).await.unwrap();
                // The server may close the connection while we send.
                let _ = output.write_all(&vec![b'x'; MAX_BODY_BYTES - 1]).await;
                output
            });
            (answer(&mut input).await, input, sending)
        });
        let answers = futures_util::future::join_all(strangers).await;
        assert_eq!(read.load(Ordering::SeqCst), 0, "bytes were read of bodies that nobody may send");
        for (answer, _input, sending) in answers {
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
            sending.abort();
        }
        assert_eq!(desk.runs(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_not_told_to_go_on_before_it_is_known() {
    const EXPECT: &str = "expect: 100-continue\r\n";
    for desk in Desk::each() {
        let (address, read) = serve(&desk).await;
        for uri in ["/nothing", "/bytes", "/body"] {
            let mut stranger = TcpStream::connect(address).await.unwrap();
            stranger.write_all(head(uri, 4, EXPECT).as_bytes()).await.unwrap();
            let told = answer(&mut stranger).await;
            assert!(told.starts_with("HTTP/1.1 401 "), "{uri}: {told}");
            let mut alice = TcpStream::connect(address).await.unwrap();
            let known = format!("{EXPECT}authorization: Bearer alice\r\n");
            alice.write_all(head(uri, MAX_BODY_BYTES + 1, &known).as_bytes()).await.unwrap();
            let told = answer(&mut alice).await;
            assert!(told.starts_with("HTTP/1.1 413 "), "{uri}: {told}");
            assert_eq!(desk.runs(), 0);
        }
        assert_eq!(read.load(Ordering::SeqCst), 0);
        for (uri, runs) in [("/nothing", 1), ("/bytes", 2), ("/body", 3)] {
            let mut alice = TcpStream::connect(address).await.unwrap();
            let known = format!("{EXPECT}authorization: Bearer alice\r\n");
            let head = head(uri, 4, &known).replace("k1", &format!("k{runs}"));
            alice.write_all(head.as_bytes()).await.unwrap();
            let told = answer(&mut alice).await;
            assert!(told.starts_with("HTTP/1.1 100 "), "{uri}: {told}");
            alice.write_all(b"paid").await.unwrap();
            let told = answer(&mut alice).await;
            assert!(told.starts_with("HTTP/1.1 200 "), "{uri}: {told}");
            assert_eq!(desk.runs(), runs);
        }
    }
}
