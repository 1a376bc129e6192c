//! A way to a server that can be paused, cut, and led into nothing.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::AbortHandle,
    time::{Duration, sleep},
};

use crate::postgres::{address, replace_address, with_port, without_encryption};

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It arrives.
    Open,
    /// It arrives once the way is open again.
    Paused,
    /// All connections are closed, and new ones refused.
    Cut,
    /// It vanishes. A connection that is there, or is opened meanwhile, never hears anything again. Once the way is
    /// open, it is closed: to the server at once, as keepalives would have it, and to the client by the reset that
    /// meets what it sends again, two seconds later.
    BlackHole,
}

/// What was not acknowledged is sent again at growing intervals, so some time passes before it meets a reset.
const RESET_AFTER: Duration = Duration::from_secs(2);

/// A proxy before a server of Postgres or Redis. Each process of a fleet has one of its own.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    at: SocketAddr,
    state: watch::Sender<State>,
    accepting: AbortHandle,
}

#[derive(Debug, Clone, Copy)]
struct State {
    way: Way,
    /// Rises whenever the connections of before are lost.
    generation: u64,
}

impl Proxy {
    /// A proxy before the server of `url`, which must name it as `host:port`.
    ///
    /// # Panics
    /// When the URL has no such address.
    pub async fn before(url: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let at = listener.local_addr().expect("a bound socket has an address");
        let server = address(url);
        let (state, seen) = watch::channel(State { way: Way::Open, generation: 0 });
        let accepting = tokio::spawn(accept(listener, at, with_port(server), seen)).abort_handle();
        let mut relayed = replace_address(url, server, at);
        if url.starts_with("postgres") {
            relayed = without_encryption(&relayed);
        }
        Self { url: relayed, at, state, accepting }
    }

    /// Where to connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port of it on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.at.port()
    }

    /// From now on.
    pub fn set(&self, way: Way) {
        self.state.send_modify(|state| {
            state.way = way;
            state.generation += u64::from(matches!(way, Way::Cut | Way::BlackHole));
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Ends with the proxy: so do the connections, each of which watches it, too.
async fn accept(listener: TcpListener, at: SocketAddr, server: String, mut state: watch::Receiver<State>) {
    let mut listener = Some(listener);
    loop {
        if state.borrow_and_update().way == Way::Cut {
            listener = None;
            if state.changed().await.is_err() {
                return;
            }
            continue;
        }
        let listening = match listener.take() {
            Some(listening) => listening,
            None => bind(at).await,
        };
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            accepted = listening.accept() => if let Ok((client, _)) = accepted {
                let (server, state) = (server.clone(), state.clone());
                tokio::spawn(async move { relay(client, &server, state).await });
            }
        }
        listener = Some(listening);
    }
}

/// Another connection may have been given the port for a moment.
async fn bind(at: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(at).await {
            Ok(listener) => return listener,
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn relay(client: TcpStream, server: &str, mut state: watch::Receiver<State>) -> io::Result<()> {
    let generation = state.borrow().generation;
    let gone = |_| io::ErrorKind::NotConnected;
    // A connection that is opened into a black hole is never heard.
    let opened = *state.wait_for(|now| now.way != Way::Paused).await.map_err(gone)?;
    if opened.way != Way::Open {
        return vanish(client.into_split(), opened.way, &mut state).await;
    }
    let server = TcpStream::connect(server).await?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let lost = tokio::select! {
        _ = pass(&mut from_client, &mut to_server, state.clone()) => return Ok(()),
        _ = pass(&mut from_server, &mut to_client, state.clone()) => return Ok(()),
        lost = async { state.clone().wait_for(|now| now.generation != generation).await.map(|now| now.way) } => lost,
    };
    let lost = lost.map_err(gone)?;
    if lost == Way::BlackHole {
        state.wait_for(|now| now.way != Way::BlackHole).await.map_err(gone)?;
    }
    drop((from_server, to_server));
    vanish((from_client, to_client), lost, &mut state).await
}

/// A connection that was cut is closed, and one that nobody hears stays until its client gives it up, or a reset comes.
async fn vanish(
    client: (OwnedReadHalf, OwnedWriteHalf),
    way: Way,
    state: &mut watch::Receiver<State>,
) -> io::Result<()> {
    let (mut from, _to) = client;
    if way == Way::BlackHole {
        let mut nothing = io::sink();
        let reset = async {
            // An error is the end of the proxy.
            if state.wait_for(|now| now.way != Way::BlackHole).await.is_ok() {
                sleep(RESET_AFTER).await;
            }
        };
        tokio::select! {
            _ = io::copy(&mut from, &mut nothing) => {}
            () = reset => {}
        }
    }
    Ok(())
}

/// Whatever was read while the way was open and not written before it was paused arrives later.
async fn pass(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, mut state: watch::Receiver<State>) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        if state.wait_for(|now| now.way == Way::Open).await.is_err() || read == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use sqlx::{Connection, PgConnection};
    use tokio::time::timeout;

    use super::*;
    use crate::TestDatabase;

    const MOMENT: Duration = Duration::from_millis(200);

    async fn ask(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
        sqlx::query_scalar("SELECT 7").fetch_one(connection).await
    }

    async fn proxy() -> (TestDatabase, Proxy, PgConnection) {
        let database = TestDatabase::create().await;
        let proxy = Proxy::before(database.url()).await;
        let mut connection = PgConnection::connect(proxy.url()).await.unwrap();
        assert_eq!(ask(&mut connection).await.unwrap(), 7);
        (database, proxy, connection)
    }

    #[tokio::test]
    async fn what_is_sent_on_a_paused_way_arrives_later() {
        let (_database, proxy, mut connection) = proxy().await;
        proxy.set(Way::Paused);
        let paused = Instant::now();
        let asking = tokio::spawn(async move { ask(&mut connection).await });
        let opening = tokio::spawn({
            let url = proxy.url().to_owned();
            async move { ask(&mut PgConnection::connect(&url).await?).await }
        });
        sleep(MOMENT).await;
        assert!(!asking.is_finished() && !opening.is_finished());
        proxy.set(Way::Open);
        assert_eq!((asking.await.unwrap().unwrap(), opening.await.unwrap().unwrap()), (7, 7));
        assert!(paused.elapsed() >= MOMENT);
    }

    #[tokio::test]
    async fn a_way_that_is_cut_closes_and_refuses() {
        let (_database, proxy, mut connection) = proxy().await;
        proxy.set(Way::Cut);
        assert!(ask(&mut connection).await.is_err());
        let refused = PgConnection::connect(proxy.url()).await.unwrap_err();
        assert!(refused.to_string().contains("refused"), "{refused}");
        proxy.set(Way::Open);
        let mut connection = loop {
            // It is bound again in a moment.
            if let Ok(connection) = PgConnection::connect(proxy.url()).await {
                break connection;
            }
        };
        assert_eq!(ask(&mut connection).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn nothing_comes_back_from_a_black_hole() {
        let (_database, proxy, mut connection) = proxy().await;
        proxy.set(Way::BlackHole);
        assert!(timeout(MOMENT, ask(&mut connection)).await.is_err());
        assert!(timeout(MOMENT, PgConnection::connect(proxy.url())).await.is_err());
        let mut other = tokio::spawn({
            let url = proxy.url().to_owned();
            async move { PgConnection::connect(&url).await.is_ok() }
        });
        sleep(MOMENT).await;
        proxy.set(Way::Open);
        assert!(timeout(MOMENT, &mut other).await.is_err(), "what was sent is gone");
        assert!(timeout(RESET_AFTER * 2, ask(&mut connection)).await.unwrap().is_err(), "and is answered by a reset");
        assert_eq!(ask(&mut PgConnection::connect(proxy.url()).await.unwrap()).await.unwrap(), 7);
    }
}
