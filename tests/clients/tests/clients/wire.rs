//! The way between a client and a service, on which things go wrong, one for each try:
//!
//! ```text
//! client               wire                                  service
//! POST, key  ────────▶ LoseAnswer: passes it on  ──────────▶ runs the handler, answers
//!            ◀─ closed the answer is dropped     ◀────────── 201
//! POST, key  ────────▶ Pass                      ──────────▶ replays
//! 201        ◀──────── notes what went by        ◀────────── 201, Idempotency-Replayed
//! ```

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::client::{Answer, Client};

/// Longer than a service takes to be back after a crash, and than a client has patience.
const PATIENCE: Duration = Duration::from_mins(1);

/// What becomes of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing; it arrives and its answer, too. So do all tries beyond the script.
    Pass,
    /// The service answers, and the connection closes before a byte of that.
    LoseAnswer,
    /// The service answers, and the connection closes half-way through the body.
    BreakAnswer,
    /// The service answers, and nothing of it ever comes, until the client has had enough.
    Silence,
    /// The connection closes once the handler runs, which is held there until the client was told that it does.
    LoseWhileRunning,
    /// A try that meets the handler while it runs; the handler goes on soon after.
    MeetRunning,
    /// The service's process dies between the effect and the record.
    Crash,
    /// The handler panics after its effect, whose answer arrives.
    Panic,
    /// 502, as a balancer answers whose service is away. The service hears nothing.
    BadGateway,
    /// 503 with `Retry-After` in seconds, as a balancer answers whose service has too much to do.
    Busy(u32),
}

/// What a client sent, and what it was answered.
#[derive(Debug, Clone)]
pub struct Try {
    pub key: Option<String>,
    pub content_type: Option<String>,
    pub target: String,
    pub body: Bytes,
    pub arrived: Instant,
    /// Nothing, where the connection was closed.
    pub answered: Option<Delivered>,
}

#[derive(Debug, Clone)]
pub struct Delivered {
    pub status: StatusCode,
    pub is_replay: bool,
    pub at: Instant,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    script: Mutex<VecDeque<Trouble>>,
    tries: Mutex<Vec<Try>>,
}

/// A proxy before one service.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Wire {
    /// Before the service at this address, with what happens to the first tries.
    pub async fn before(server: SocketAddr, script: &[Trouble]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let script = Mutex::new(script.iter().copied().collect());
        let shared = Arc::new(Shared { server, script, tries: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, accepting }
    }

    /// Where a client finds it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What went by so far.
    pub fn tries(&self) -> Vec<Try> {
        self.shared.tries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| handle(Arc::clone(&shared), request));
            // An error closes the connection, which is what it is for.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service).await;
        });
    }
}

type Body = BoxBody<Bytes, io::Error>;

fn closed() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let forward = Forward {
        server: shared.server,
        method: parts.method.clone(),
        target: parts.uri.to_string(),
        headers: parts.headers.clone(),
        body: body.clone(),
    };
    let number = {
        let mut tries = shared.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.push(Try {
            key: text("idempotency-key"),
            content_type: text("content-type"),
            target: forward.target.clone(),
            body,
            arrived: Instant::now(),
            answered: None,
        });
        tries.len() - 1
    };
    let trouble = shared.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(Trouble::Pass);
    let answer = answer(trouble, forward, shared.server).await?;
    let status = answer.status;
    let delivered = Delivered { status, is_replay: answer.is_replay(), at: Instant::now() };
    shared.tries.lock().unwrap_or_else(PoisonError::into_inner)[number].answered = Some(delivered);
    if status == StatusCode::CONFLICT {
        open(shared.server, Duration::ZERO);
    }
    Ok(if trouble == Trouble::BreakAnswer { broken(&answer) } else { whole(&answer) })
}

async fn answer(trouble: Trouble, forward: Forward, server: SocketAddr) -> io::Result<Answer> {
    match trouble {
        Trouble::Pass | Trouble::BreakAnswer => forward.send().await,
        Trouble::LoseAnswer => {
            forward.send().await?;
            Err(closed())
        }
        Trouble::Silence => {
            forward.send().await?;
            sleep(PATIENCE).await;
            Err(closed())
        }
        Trouble::LoseWhileRunning => {
            tokio::spawn(forward.with("held").send());
            while Client::new(server).get("/held").send().await?.body != "1" {
                sleep(Duration::from_millis(5)).await;
            }
            Err(closed())
        }
        Trouble::MeetRunning => {
            // Long enough for the duplicate to wait; were it later than that, it would find the record.
            open(server, Duration::from_millis(300));
            forward.send().await
        }
        Trouble::Crash => {
            let headers = forward.with("crash").with("shop-crash");
            let _ = headers.send_once().await;
            Err(closed())
        }
        Trouble::Panic => forward.with("panic").send().await,
        Trouble::BadGateway => Ok(canned(StatusCode::BAD_GATEWAY, None)),
        Trouble::Busy(seconds) => Ok(canned(StatusCode::SERVICE_UNAVAILABLE, Some(seconds))),
    }
}

fn canned(status: StatusCode, retry_after: Option<u32>) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    // Stripe's SDKs take whatever is not JSON for an error of another kind.
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Answer { status, headers, body: Bytes::from_static(b"{\"error\":{\"message\":\"later\"}}") }
}

/// Lets the till's held handlers go on, if it has any.
fn open(server: SocketAddr, after: Duration) {
    tokio::spawn(async move {
        sleep(after).await;
        let _ = Client::new(server).post("/open").send().await;
    });
}

fn head(answer: &Answer) -> http::response::Builder {
    let mut response = Response::builder().status(answer.status);
    if let Some(headers) = response.headers_mut() {
        *headers = answer.headers.clone();
        headers.remove(header::CONNECTION);
        headers.remove(header::TRANSFER_ENCODING);
    }
    response
}

fn whole(answer: &Answer) -> Response<Body> {
    let body = Full::new(answer.body.clone()).map_err(|never| match never {}).boxed();
    head(answer).body(body).expect("an answer that came is one that goes")
}

/// Half of it, and then the connection closes.
fn broken(answer: &Answer) -> Response<Body> {
    let (mut sender, body) = Channel::new(1);
    let half = answer.body.slice(..answer.body.len() / 2);
    tokio::spawn(async move {
        let _ = sender.send_data(half).await;
        // The half that is there is sent before the connection is closed.
        sleep(Duration::from_millis(100)).await;
        sender.abort(closed());
    });
    let length = answer.body.len();
    head(answer)
        .header(header::CONTENT_LENGTH, length)
        .body(body.boxed())
        .expect("an answer that came is one that goes")
}

#[derive(Clone)]
struct Forward {
    server: SocketAddr,
    method: http::Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Forward {
    fn with(mut self, order: &'static str) -> Self {
        self.headers.insert(order, http::HeaderValue::from_static("1"));
        self
    }

    async fn send_once(&self) -> io::Result<Answer> {
        let request = Client::new(self.server).request(self.method.clone(), &self.target).body(self.body.clone());
        let passed_on = |name: &header::HeaderName| {
            ![header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT]
                .contains(name)
        };
        let request =
            self.headers.iter().filter(|(name, _)| passed_on(name)).fold(request, |request, (name, value)| {
                request.header(name.as_str(), value.to_str().expect("the clients' headers are text"))
            });
        request.send().await
    }

    /// Waits for a service that is about to be back.
    async fn send(self) -> io::Result<Answer> {
        let sending = async {
            loop {
                match self.send_once().await {
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        sleep(Duration::from_millis(20)).await;
                    }
                    sent => return sent,
                }
            }
        };
        timeout(PATIENCE, sending).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}
