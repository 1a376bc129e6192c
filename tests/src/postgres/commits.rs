//! Losing a COMMIT, or the answer to it, where that happens: between a client and the server.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
    time::sleep,
};

use super::wire::{replace_address, with_port, without_encryption};

/// What becomes of one COMMIT, and of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, and so does its answer.
    Passes,
    /// It never arrives: the connection is cut before it.
    Lost,
    /// It arrives, and the connection is cut before its answer.
    Unanswered,
    /// The client is cut off at once, and it arrives this much later.
    Late(Duration),
    /// It arrives, its answer never does, and the connection looks sound.
    Silent,
}

/// A proxy before a Postgres server that decides what becomes of each COMMIT, in the order that they come. Where
/// nothing was decided, it passes.
#[derive(Debug)]
pub struct Commits {
    url: String,
    fates: Fates,
    accepting: AbortHandle,
}

#[derive(Debug, Clone)]
struct Fates {
    next: Arc<Mutex<VecDeque<Fate>>>,
    /// How many met theirs.
    met: watch::Sender<usize>,
}

impl Commits {
    /// A proxy before the server of `url`, which must name it as `host:port`.
    ///
    /// # Panics
    /// When the URL has no such address.
    pub async fn before(url: &str, fates: impl IntoIterator<Item = Fate>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = with_port(super::wire::address(url));
        let next = Arc::new(Mutex::new(fates.into_iter().collect()));
        let fates = Fates { next, met: watch::Sender::new(0) };
        let accepting = tokio::spawn(accept(listener, server, fates.clone())).abort_handle();
        Self { url: without_encryption(&replace_address(url, super::wire::address(url), address)), fates, accepting }
    }

    /// Where to connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns once that many were lost, or cut from their answer.
    ///
    /// # Panics
    /// Never: the proxy that tells is this one.
    pub async fn met(&self, count: usize) {
        let mut met = self.fates.met.subscribe();
        met.wait_for(|met| *met >= count).await.expect("the sender is here");
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Fates {
    fn next(&self) -> Fate {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(Fate::Passes)
    }

    fn is_met(&self) {
        self.met.send_modify(|met| *met += 1);
    }
}

async fn accept(listener: TcpListener, server: String, fates: Fates) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, fates) = (server.clone(), fates.clone());
        tokio::spawn(async move { relay(client, TcpStream::connect(server).await?, &fates).await });
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, fates: &Fates) -> io::Result<()> {
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
    }
    let (mut said, mut answered) = (Vec::new(), Vec::new());
    // The first message, which opens the connection, has no kind before its length.
    let mut kind = 0;
    loop {
        while let Some(message) = first_message(&mut said, kind) {
            kind = 1;
            let fate =
                if message.starts_with(b"Q") && message.ends_with(b"COMMIT\0") { fates.next() } else { Fate::Passes };
            if fate == Fate::Passes {
                server.write_all(&message).await?;
            } else {
                return meet(fate, &message, client, server, fates).await;
            }
        }
        tokio::select! {
            read = client.read_buf(&mut said) => if read? == 0 { return Ok(()) },
            read = server.read_buf(&mut answered) => {
                if read? == 0 {
                    return Ok(());
                }
                client.write_all(&answered).await?;
                answered.clear();
            }
        }
    }
}

async fn meet(
    fate: Fate,
    commit: &[u8],
    mut client: TcpStream,
    mut server: TcpStream,
    fates: &Fates,
) -> io::Result<()> {
    // The first byte of the answer tells that it is there.
    match fate {
        Fate::Passes => {}
        Fate::Lost => {
            drop((client, server));
            fates.is_met();
        }
        Fate::Unanswered => {
            server.write_all(commit).await?;
            server.read_u8().await?;
            fates.is_met();
        }
        Fate::Late(delay) => {
            drop(client);
            fates.is_met();
            sleep(delay).await;
            server.write_all(commit).await?;
            server.read_u8().await?;
        }
        Fate::Silent => {
            server.write_all(commit).await?;
            server.read_u8().await?;
            fates.is_met();
            io::copy(&mut client, &mut io::sink()).await?;
        }
    }
    Ok(())
}

/// Takes the first message out of what was said, if it is whole.
fn first_message(said: &mut Vec<u8>, kind: usize) -> Option<Vec<u8>> {
    let length = said.get(kind..kind + 4)?.try_into().ok()?;
    let end = kind + usize::try_from(u32::from_be_bytes(length)).ok()?;
    (said.len() >= end).then(|| said.drain(..end).collect())
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, PgConnection};

    use super::*;
    use crate::TestDatabase;

    #[tokio::test]
    async fn each_commit_meets_its_fate() {
        let database = TestDatabase::create().await;
        let late = Fate::Late(Duration::from_millis(50));
        let fates = [Fate::Passes, Fate::Lost, Fate::Unanswered, late];
        let proxy = Commits::before(database.url(), fates).await;
        let mut direct = PgConnection::connect(database.url()).await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (n INT)").execute(&mut direct).await.unwrap();
        for n in 0..4 {
            let mut connection = PgConnection::connect(proxy.url()).await.unwrap();
            let mut transaction = connection.begin().await.unwrap();
            sqlx::query("INSERT INTO t VALUES ($1)").bind(n).execute(&mut *transaction).await.unwrap();
            assert_eq!(transaction.commit().await.is_ok(), n == 0, "{n}");
        }
        proxy.met(3).await;
        let mut there = Vec::<i32>::new();
        while there.len() < 3 {
            there = sqlx::query_scalar("SELECT n FROM t ORDER BY n").fetch_all(&mut direct).await.unwrap();
        }
        assert_eq!(there, [0, 2, 3]);
    }
}
