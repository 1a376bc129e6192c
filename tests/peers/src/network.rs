//! A network between the contenders and the server: a proxy that holds back whatever passes, and counts messages.
//!
//! ```text
//! client │ sends ─┐                                                        ┌─▶ receives, half a round trip later
//! proxy  │        └─ reads at once: due = arrival + half a round trip ─┐   │
//! delay  │                                  sleeps until it is due ────┴───┤ hands it to the connection's writer
//! server │ answers: the same way back                                      └─▶ …
//! ```
//!
//! All that passes is held back equally long, so it falls due in the order in which it came, and one thread with one
//! queue is enough for all connections. That thread sleeps by the system's timer, which is late by some 50 µs; tokio's
//! rounds to a millisecond. Nothing waits for what is held back: neither the bytes behind it nor another connection, so
//! the network delays and does not narrow.
//!
//! What the two threads of the proxy use of a processor is not counted among the contenders' ([`cpu`]).

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc as unbounded;
use tokio::sync::oneshot;

use crate::Fallible;
use crate::postgres::{address, replace_address, without_encryption};

/// What the proxy's threads are called.
const THREADS: &str = "network";

/// How long a message and its answer are on their way, the server's own time not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoundTrip(pub Duration);

impl RoundTrip {
    pub fn is_loopback(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for RoundTrip {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let micros = match (number.parse::<u64>(), unit) {
            (Ok(0), "") => Some(0),
            (Ok(number), "us") => Some(number),
            (Ok(number), "ms") => number.checked_mul(1_000),
            _ => None,
        };
        match micros {
            Some(micros) if micros <= 1_000_000 => Ok(Self(Duration::from_micros(micros))),
            _ => Err("a round trip is 0, or a number with its unit and at most a second: 500us, 3ms".to_owned()),
        }
    }
}

impl fmt::Display for RoundTrip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_micros() {
            0 => f.write_str("0"),
            micros if micros % 1_000 == 0 => write!(f, "{}ms", micros / 1_000),
            micros => write!(f, "{micros}us"),
        }
    }
}

/// What has passed so far.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// Messages that were answered, without those that only ask whether a connection lives.
    pub messages: u64,
    /// Those: sqlx's pool sends one for each connection that it is given back.
    pub pings: u64,
}

#[derive(Debug, Default)]
struct Counters {
    messages: AtomicU64,
    pings: AtomicU64,
}

/// The network that is there, for [`passed`].
static CURRENT: Mutex<Option<Arc<Counters>>> = Mutex::new(None);

/// What has passed over the network that is there, if one is.
pub fn passed() -> Option<Passed> {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Some(Passed { messages: of(&current.messages), pings: of(&current.pings) })
}

/// What the network's threads have used of a processor so far; `None` where the system does not tell.
pub fn cpu() -> Option<Duration> {
    let mut used = Duration::ZERO;
    for thread in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let read = |file: &str| std::fs::read_to_string(thread.path().join(file)).ok();
        if read("comm").is_some_and(|name| name.trim_end() == THREADS) {
            used += Duration::from_nanos(read("schedstat")?.split_whitespace().next()?.parse().ok()?);
        }
    }
    Some(used)
}

/// The way to a server. It ends with the value, and so do the connections over it.
#[derive(Debug, Default)]
pub struct Network {
    rtt: RoundTrip,
    proxy: Option<Proxy>,
}

#[derive(Debug)]
struct Proxy {
    at: SocketAddr,
    /// Dropped, it ends the proxy.
    _running: oneshot::Sender<()>,
}

impl Network {
    /// The way to the server at `server`, which takes `rtt` there and back; there is one such network at a time.
    ///
    /// # Errors
    ///
    /// When no port or no thread is to be had.
    pub fn start(server: SocketAddr, rtt: RoundTrip) -> Fallible<Self> {
        let counters = Arc::new(Counters::default());
        if !rtt.is_loopback() {
            *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&counters));
        }
        Self::with(server, rtt, Some(counters))
    }

    /// The same to a server that does not speak as Postgres does, whose messages are not counted.
    ///
    /// # Errors
    ///
    /// When no port or no thread is to be had.
    pub fn start_uncounted(server: SocketAddr, rtt: RoundTrip) -> Fallible<Self> {
        Self::with(server, rtt, None)
    }

    fn with(server: SocketAddr, rtt: RoundTrip, counters: Option<Arc<Counters>>) -> Fallible<Self> {
        if rtt.is_loopback() {
            return Ok(Self::default());
        }
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let at = listener.local_addr()?;
        let (held_back, due) = mpsc::channel();
        let named = || thread::Builder::new().name(THREADS.to_owned());
        named().spawn(move || deliver(&due))?;
        let (running, ended) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        named().spawn(move || {
            let way = Way { delay: rtt.0 / 2, held_back, counters };
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    failed = accept(listener, server, way) => eprintln!("the network has ended: {failed:?}"),
                }
            });
        })?;
        Ok(Self { rtt, proxy: Some(Proxy { at, _running: running }) })
    }

    pub fn rtt(&self) -> RoundTrip {
        self.rtt
    }

    /// Where the server at `server` is found over this network.
    pub fn address_of(&self, server: SocketAddr) -> SocketAddr {
        self.proxy.as_ref().map_or(server, |proxy| proxy.at)
    }

    /// Where the server of `url` is found over this network.
    pub fn url(&self, url: &str) -> String {
        match &self.proxy {
            // Encrypted, the messages could not be counted.
            Some(proxy) => without_encryption(&replace_address(url, address(url), proxy.at)),
            None => url.to_owned(),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What is held back, and where it goes once it is due.
struct HeldBack {
    due: Instant,
    bytes: Bytes,
    to: unbounded::UnboundedSender<Bytes>,
}

/// Ends when nothing more can come.
fn deliver(held_back: &mpsc::Receiver<HeldBack>) {
    for HeldBack { due, bytes, to } in held_back {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // Where the connection has gone meanwhile, nobody wants it.
        let _ = to.send(bytes);
    }
}

#[derive(Clone)]
struct Way {
    delay: Duration,
    held_back: mpsc::Sender<HeldBack>,
    counters: Option<Arc<Counters>>,
}

async fn accept(listener: std::net::TcpListener, server: SocketAddr, way: Way) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        let way = way.clone();
        tokio::spawn(async move {
            let server = TcpStream::connect(server).await?;
            for socket in [&client, &server] {
                socket.set_nodelay(true)?;
            }
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let counters = way.counters.clone();
            let mut answers = Answers::default();
            let count = move |bytes: &[u8]| {
                if let Some(counters) = &counters {
                    answers.count(bytes, counters);
                }
            };
            tokio::spawn(pass(from_client, to_server, way.clone(), |_| {}));
            tokio::spawn(pass(from_server, to_client, way, count));
            io::Result::Ok(())
        });
    }
}

/// The end of what comes is held back as everything else is: it is the end of the channel to the writer.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    mut look: impl FnMut(&[u8]),
) -> io::Result<()> {
    let (sender, mut due) = unbounded::unbounded_channel::<Bytes>();
    tokio::spawn(async move {
        while let Some(bytes) = due.recv().await {
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    });
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(64 * 1024);
        let read = from.read_buf(&mut buffer).await?;
        let due = Instant::now() + way.delay;
        let bytes = buffer.split().freeze();
        look(&bytes);
        if way.held_back.send(HeldBack { due, bytes, to: sender.clone() }).is_err() || read == 0 {
            return Ok(());
        }
    }
}

/// Reads the server's side of a connection as far as it takes to count what it has answered.
///
/// One `ReadyForQuery` ends one answer. Where nothing is before it, the message asked for nothing else: a ping.
#[derive(Debug, Default)]
struct Answers {
    /// Of a message's kind and length, as far as they have come.
    head: Vec<u8>,
    /// Bytes of the message that are still to come.
    rest: usize,
    is_open: bool,
    has_content: bool,
}

impl Answers {
    fn count(&mut self, mut bytes: &[u8], counters: &Counters) {
        while !bytes.is_empty() {
            let skipped = self.rest.min(bytes.len());
            (self.rest, bytes) = (self.rest - skipped, &bytes[skipped..]);
            let missing = if bytes.is_empty() { 0 } else { 5 - self.head.len() };
            let (of_head, behind) = bytes.split_at(missing.min(bytes.len()));
            self.head.extend_from_slice(of_head);
            bytes = behind;
            if let &[kind, a, b, c, d] = &self.head[..] {
                // The length counts itself, and not the kind before it.
                self.rest = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                self.head.clear();
                self.message(kind, counters);
            }
        }
    }

    fn message(&mut self, kind: u8, counters: &Counters) {
        if kind != b'Z' {
            self.has_content = true;
            return;
        }
        // The first one ends the opening of the connection, which is no request's.
        if std::mem::replace(&mut self.is_open, true) {
            let counter = if self.has_content { &counters.messages } else { &counters.pings };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.has_content = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_has_a_unit() {
        for (text, micros) in [("0", 0), ("500us", 500), ("1ms", 1_000), ("3ms", 3_000)] {
            let rtt: RoundTrip = text.parse().unwrap();
            assert_eq!((rtt.0, rtt.to_string()), (Duration::from_micros(micros), text.to_owned()));
        }
        for text in ["", "3", "ms", "-1ms", "1 ms", "2s", "1001ms", "99999999999999999999ms", "18446744073709551615ms"]
        {
            assert!(text.parse::<RoundTrip>().unwrap_err().contains("500us, 3ms"), "{text}");
        }
    }

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let message = |kind: u8, content: &[u8]| {
            let length = u32::try_from(4 + content.len()).unwrap().to_be_bytes();
            [&[kind], &length[..], content].concat()
        };
        let ready = message(b'Z', b"I");
        let row = message(b'D', b"Z\0\0\0\x05I");
        let opening = [message(b'R', &[0; 4]), ready.clone()].concat();
        let answer = [row.clone(), row, message(b'C', b"SELECT 2\0"), ready.clone()].concat();
        let all = [opening, answer.clone(), ready.clone(), answer, ready].concat();
        for size in 1..all.len() {
            let (counters, mut answers) = (Counters::default(), Answers::default());
            all.chunks(size).for_each(|chunk| answers.count(chunk, &counters));
            let counted = [counters.messages, counters.pings].map(AtomicU64::into_inner);
            assert_eq!(counted, [2, 2], "in pieces of {size} bytes");
        }
    }

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.into_split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        at
    }

    #[tokio::test]
    async fn what_passes_keeps_its_order_and_its_end_and_takes_its_time() {
        const RTT: Duration = Duration::from_millis(20);
        const BYTES: usize = 3 * 1024 * 1024;
        let network = Network::start(echo().await, RoundTrip(RTT)).unwrap();
        let url = network.url("postgres://u@127.0.0.1:1/d");
        let (mut from, mut to) = TcpStream::connect(address(&url)).await.unwrap().into_split();
        let sent: Vec<u8> = (0..BYTES).map(|n| u8::try_from(n * 7_919 % 251).unwrap()).collect();
        let begun = Instant::now();
        let all = sent.clone();
        let sending = tokio::spawn(async move {
            to.write_all(&all).await?;
            to.shutdown().await
        });
        let mut first = [0];
        from.read_exact(&mut first).await.unwrap();
        // Nothing comes earlier than it may; how much later depends on the machine.
        assert!(begun.elapsed() >= RTT);
        let mut received = first.to_vec();
        from.read_to_end(&mut received).await.unwrap();
        sending.await.unwrap().unwrap();
        assert!(received == sent);
    }
}
