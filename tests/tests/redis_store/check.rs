//! A look at the servers by the store itself.

use cratestack_runtime::StoreError;
use cratestack_runtime::schema::ServerFindingKind;
use cratestack_tests::RedisOptions;
use cratestack_tests::redis::{Fsync, RedisServer};

use crate::service::{on, on_cluster, through};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_told_what_endangers_records_there() {
    let server = RedisOptions::new().append_only(Fsync::Always).start().await;
    let store = on(&server);
    let clean = store.check().await.unwrap();
    assert!(clean.is_clean(), "{clean}");
    assert_eq!(
        clean.servers().map(|(address, _)| address.to_owned()).collect::<Vec<_>>(),
        [format!("127.0.0.1:{}", server.port())]
    );

    server.tell::<()>("CONFIG SET maxmemory 100mb").await;
    server.tell::<()>("CONFIG SET maxmemory-policy allkeys-lru").await;
    let report = store.check().await.unwrap();
    assert!(!report.is_clean());
    assert!(report.to_string().contains("CONFIG SET maxmemory-policy noeviction"), "{report}");
    // It works on after having listened.
    assert!(store.check().await.unwrap() == report);
    server.kill().await;
    assert!(matches!(store.check().await, Err(StoreError::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_a_store_needs_are_looked_for() {
    let server = RedisServer::launch().await;
    let report = on(&server).acknowledged_by(1).check().await.unwrap();
    assert!(!report.is_clean(), "{report}");
    assert!(report.findings().iter().any(|found| found.kind == ServerFindingKind::Replication), "{report}");

    let replicas = RedisOptions::new().start_replicas(1).await;
    let report = on(&replicas.servers()[1]).check().await.unwrap();
    assert!(report.findings().iter().any(|found| found.kind == ServerFindingKind::Role), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_that_sentinel_names_is_looked_at() {
    let sentinels = RedisOptions::new().append_only(Fsync::Always).start_sentinels(1).await;
    let report = through(&sentinels).check().await.unwrap();
    let primary = sentinels.servers()[0].port();
    assert_eq!(
        report.servers().map(|(address, _)| address.to_owned()).collect::<Vec<_>>(),
        [format!("127.0.0.1:{primary}")]
    );
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_primary_of_a_cluster_is_looked_at() {
    let cluster = RedisOptions::new().append_only(Fsync::Always).start_cluster().await;
    let store = on_cluster(&cluster);
    let report = store.check().await.unwrap();
    println!("{report}");
    assert_eq!(report.servers().count(), 3, "{report}");
    assert!(report.is_clean(), "{report}");
    let odd = &cluster.servers()[1];
    odd.tell::<()>("CONFIG SET maxmemory 100mb").await;
    odd.tell::<()>("CONFIG SET maxmemory-policy volatile-ttl").await;
    let report = store.check().await.unwrap();
    let found: Vec<_> = report.findings().iter().filter(|finding| finding.must_mend).collect();
    assert!(
        !found.is_empty() && found.iter().all(|found| found.address.ends_with(&odd.port().to_string())),
        "{report}"
    );
}
