//! The servers of Redis that tests bring do what their names say.

#![expect(clippy::unwrap_used)]

mod cluster;
mod power;
mod replicas;
mod sentinels;
mod single;
mod tls;

/// Waits until so many replicas have what this connection has written, and no longer for one answer than its client
/// does.
async fn wait_for_replicas(connection: &mut impl redis::aio::ConnectionLike, replicas: i32) {
    for _ in 0..25 {
        let acknowledged: i32 = redis::cmd("WAIT").arg(replicas).arg(200).query_async(connection).await.unwrap();
        if acknowledged >= replicas {
            return;
        }
    }
    panic!("{replicas} replicas have not acknowledged it");
}
