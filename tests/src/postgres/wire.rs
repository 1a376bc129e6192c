//! Counting round trips where they happen: between a client and the server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::AbortHandle,
};

/// A proxy before a Postgres server that counts how often a client waited for it.
///
/// One `ReadyForQuery` of the server ends one round trip: of a statement, of preparing one, of a pool's ping. The one
/// that ends the opening of a connection is not counted.
#[derive(Debug)]
pub struct RoundTrips {
    url: String,
    count: Arc<AtomicU64>,
    accepting: AbortHandle,
}

impl RoundTrips {
    /// A proxy before the server of `url`, which must name it as `host:port`.
    ///
    /// # Panics
    /// When the URL has no such address.
    pub async fn before(url: &str) -> Self {
        Self::relaying(url, true).await
    }

    /// The same, and deaf as a pooler in transaction mode: no notification reaches a client.
    ///
    /// # Panics
    /// When the URL has no such address.
    pub async fn without_notifications(url: &str) -> Self {
        Self::relaying(url, false).await
    }

    async fn relaying(url: &str, notifications: bool) -> Self {
        let server = address(url);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let count = Arc::new(AtomicU64::new(0));
        let accepting =
            tokio::spawn(accept(listener, with_port(server), Arc::clone(&count), notifications)).abort_handle();
        Self { url: without_encryption(&replace_address(url, server, address)), count, accepting }
    }

    /// Where to connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many there were so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for RoundTrips {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The part of a URL that names the server.
pub(crate) fn address(url: &str) -> &str {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next());
    authority.and_then(|authority| authority.rsplit('@').next()).expect("a URL names a server")
}

/// Encrypted, the messages could not be told apart.
pub(crate) fn without_encryption(url: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}sslmode=disable")
}

pub(crate) fn with_port(server: &str) -> String {
    if server.contains(':') { server.to_owned() } else { format!("{server}:5432") }
}

pub(crate) fn replace_address(url: &str, server: &str, address: SocketAddr) -> String {
    let authority = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[authority..].find(['/', '?']).map_or(url.len(), |end| authority + end);
    format!("{}{address}{}", &url[..end - server.len()], &url[end..])
}

async fn accept(listener: TcpListener, server: String, count: Arc<AtomicU64>, notifications: bool) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, count) = (server.clone(), Arc::clone(&count));
        tokio::spawn(async move {
            let upstream = TcpStream::connect(server).await?;
            for socket in [&client, &upstream] {
                socket.set_nodelay(true)?;
            }
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = upstream.into_split();
            // Either side's end is the connection's.
            tokio::select! {
                done = io::copy(&mut from_client, &mut to_server) => done.map(drop),
                done = relay(from_server, to_client, &count, notifications) => done,
            }
        });
    }
}

async fn relay(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    count: &AtomicU64,
    notifications: bool,
) -> io::Result<()> {
    let mut opened = false;
    let mut frame = Vec::new();
    loop {
        let mut head = [0; 5];
        from.read_exact(&mut head).await?;
        let [kind, length @ ..] = head;
        // The length counts itself, and not the kind before it.
        let rest = u32::from_be_bytes(length).saturating_sub(4);
        frame.clear();
        frame.extend_from_slice(&head);
        (&mut from).take(rest.into()).read_to_end(&mut frame).await?;
        if kind == b'Z' {
            if opened {
                count.fetch_add(1, Ordering::Relaxed);
            }
            opened = true;
        }
        if kind != b'A' || notifications {
            to.write_all(&frame).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, PgConnection};

    use super::*;
    use crate::TestDatabase;

    #[tokio::test]
    async fn a_statement_is_one_and_preparing_it_another() {
        let database = TestDatabase::create().await;
        let round_trips = RoundTrips::before(database.url()).await;
        let mut connection = PgConnection::connect(round_trips.url()).await.unwrap();
        let mut costs = Vec::new();
        for _ in 0..3 {
            let before = round_trips.count();
            sqlx::query("SELECT $1::int").bind(1).fetch_one(&mut connection).await.unwrap();
            costs.push(round_trips.count() - before);
        }
        assert_eq!(costs, [2, 1, 1]);
    }

    #[test]
    fn only_the_address_of_a_url_changes() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 7));
        assert_eq!(replace_address("postgres://h:1@h:1/a?x=1", "h:1", address), "postgres://h:1@127.0.0.1:7/a?x=1");
        assert_eq!(replace_address("postgres://h", "h", address), "postgres://127.0.0.1:7");
    }
}
