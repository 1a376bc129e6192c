//! An HTTP client that can do what clients in the field do: hang up, send nonsense, send too much.
//!
//! ```no_run
//! # async fn example(address: std::net::SocketAddr) -> std::io::Result<()> {
//! use cratestack_tests::Client;
//!
//! let client = Client::new(address);
//! let payment = serde_json::json!({"amount": 1200, "currency": "EUR"});
//! let answer = client.post("/payments").header("idempotency-key", "8e03").json(&payment).send().await?;
//! assert_eq!(answer.status, 201);
//! # Ok(())
//! # }
//! ```

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::AbortHandle,
    time::timeout,
};

/// Longer than any answer takes, and short enough for a test that waits for one that never comes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client of one server. Every request has a connection of its own, unless it goes over a [`Connection`].
#[derive(Debug, Clone, Copy)]
pub struct Client {
    address: SocketAddr,
}

impl Client {
    /// A client of the server at this address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// A `GET`.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A `POST`.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Any request; the path may carry a query.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        RequestBuilder { client: *self, method, path: path.to_owned(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A connection that is kept for many requests.
    ///
    /// # Errors
    /// When the server does not accept it.
    pub async fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(connection).abort_handle();
        Ok(Connection { sender, driver })
    }

    /// Writes these bytes as they are and reads until the server closes, which `Connection: close` asks it to.
    ///
    /// # Errors
    /// When the connection fails, or the server neither answers nor closes.
    pub async fn raw(&self, bytes: &[u8]) -> io::Result<RawAnswer> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(bytes).await?;
        read_raw(&mut stream).await
    }

    /// Like [`raw`](Self::raw), and says after these bytes that no more will come.
    ///
    /// # Errors
    /// When the connection fails, or the server neither answers nor closes.
    pub async fn raw_cut_short(&self, bytes: &[u8]) -> io::Result<RawAnswer> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        read_raw(&mut stream).await
    }

    /// Sends a head and then up to `length` bytes of body, until the server answers; also says how many it took.
    ///
    /// The head must announce the body itself, with `Content-Length` or as chunked.
    ///
    /// # Errors
    /// When the connection fails before an answer, or the server never answers.
    pub async fn flood(&self, head: &[u8], length: u64) -> io::Result<(RawAnswer, u64)> {
        let chunked = head.to_ascii_lowercase().windows(7).any(|window| window == b"chunked");
        let (mut from, mut to) = TcpStream::connect(self.address).await?.into_split();
        let mut sent = 0;
        let writing = async {
            let piece = vec![b' '; 64 * 1024];
            let frame = if chunked { [b"10000\r\n", &piece[..], b"\r\n"].concat() } else { piece.clone() };
            to.write_all(head).await?;
            while sent < length {
                to.write_all(&frame).await?;
                sent += piece.len() as u64;
            }
            io::Result::Ok(())
        };
        let mut answer = [0; 4096];
        let reading = timeout(PATIENCE, from.read(&mut answer));
        tokio::pin!(reading);
        // The server may well close its reading side first: the answer is what counts.
        let read = tokio::select! {
            read = &mut reading => read,
            _ = writing => reading.await,
        };
        let read = read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok((RawAnswer::parse(&answer[..read]), sent))
    }
}

async fn read_raw(stream: &mut TcpStream) -> io::Result<RawAnswer> {
    let mut bytes = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut bytes)).await {
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
        Ok(Err(error)) if bytes.is_empty() => Err(error),
        // A reset after the answer takes nothing away from it.
        Ok(_) => Ok(RawAnswer::parse(&bytes)),
    }
}

/// What came back from [`Client::raw`].
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// `None` when the server closed without an answer.
    pub status: Option<u16>,
    /// Everything that it sent.
    pub text: String,
}

impl RawAnswer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        Self { status, text }
    }
}

/// A kept connection; dropping it hangs up.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The driver owns the socket.
        self.driver.abort();
    }
}

/// A request to be sent; it may be sent again and again.
#[derive(Debug, Clone)]
#[must_use = "a request does nothing before it is sent"]
pub struct RequestBuilder {
    client: Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl RequestBuilder {
    /// Adds a header; the same name twice is sent twice.
    ///
    /// # Panics
    /// When HTTP cannot carry it: [`Client::raw`] is for those.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a header's name");
        self.headers.append(name, HeaderValue::try_from(value).expect("a header's value"));
        self
    }

    /// The `Idempotency-Key`.
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// A JSON body, with its content type.
    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// A body as it is.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it over a connection of its own and reads the whole answer.
    ///
    /// # Errors
    /// When the connection fails before the answer is whole, or no answer comes.
    pub async fn send(&self) -> io::Result<Answer> {
        let mut connection = self.client.connect().await?;
        self.send_over(&mut connection).await
    }

    /// Sends it over a kept connection.
    ///
    /// # Errors
    /// When the connection fails before the answer is whole, or no answer comes.
    pub async fn send_over(&self, connection: &mut Connection) -> io::Result<Answer> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().map_err(io::Error::other)?;
        *request.headers_mut() = self.headers.clone();
        let host = HeaderValue::try_from(self.client.address.to_string()).map_err(io::Error::other)?;
        request.headers_mut().insert(header::HOST, host);
        let answering = async {
            connection.sender.ready().await?;
            let (parts, body) = connection.sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        match timeout(PATIENCE, answering).await {
            Ok(answer) => answer.map_err(|error: hyper::Error| io::Error::other(error)),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Sends it and hangs up after this long, unless the answer was faster.
    ///
    /// # Errors
    /// When the connection fails before that.
    pub async fn hang_up_after(&self, patience: Duration) -> io::Result<Option<Answer>> {
        timeout(patience, self.send()).await.ok().transpose()
    }
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// A header's value, where it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether this is a recorded outcome.
    pub fn is_replay(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is something else.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The stable code of a problem; empty where there is none.
    pub fn code(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}
