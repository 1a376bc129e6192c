use cratestack_tests::RedisOptions;
use redis::{
    AsyncCommands as _, TlsMode,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};

#[tokio::test]
async fn a_server_speaks_tls_and_nothing_else() {
    let server = RedisOptions::new().password("secret").tls().start().await;
    assert!(server.url().starts_with("rediss://:secret@127.0.0.1:"), "{}", server.url());
    server.tell::<()>("SET kept 7").await;
    let mut connection = server.client().get_multiplexed_async_connection().await.unwrap();
    assert_eq!(connection.get::<_, i32>("kept").await.unwrap(), 7);

    let stranger = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await;
    let refused = stranger.err().unwrap().to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let plain = redis::Client::open(server.url().replace("rediss", "redis")).unwrap();
    assert!(plain.get_multiplexed_async_connection().await.is_err());
}

#[tokio::test]
async fn replicas_and_sentinels_speak_tls() {
    let all = RedisOptions::new().tls().start_sentinels(1).await;
    let certificates = all.servers()[0].certificates().unwrap();
    let addresses = all.sentinels().iter().map(|sentinel| {
        let info = sentinel.client().get_connection_info().clone();
        info.addr().clone()
    });
    let mut client = SentinelClientBuilder::new(addresses, all.name(), SentinelServerType::Master)
        .unwrap()
        .set_client_to_redis_tls_mode(TlsMode::Secure)
        .set_client_to_redis_certificates(certificates.clone())
        .set_client_to_sentinel_certificates(certificates)
        .build()
        .unwrap();
    let mut connection = client.get_async_connection().await.unwrap();
    connection.set::<_, _, ()>("kept", 7).await.unwrap();
    super::wait_for_replicas(&mut connection, 1).await;
    assert_eq!(all.servers()[1].tell::<i32>("GET kept").await, 7);
}

#[tokio::test]
async fn a_cluster_speaks_tls() {
    let cluster = RedisOptions::new().password("secret").tls().start_cluster().await;
    let mut connection = cluster.client().build().unwrap().get_async_connection().await.unwrap();
    for n in 0..9 {
        connection.set::<_, _, ()>(n, n).await.unwrap();
        assert_eq!(connection.get::<_, i32>(n).await.unwrap(), n);
    }
    let slot = cluster.servers()[0].tell("CLUSTER KEYSLOT 1").await;
    let from = cluster.primary_of(slot).await;
    cluster.move_slots(slot..=slot, (from + 1) % 3, cratestack_tests::redis::Pace::default()).await;
    assert_eq!(connection.get::<_, i32>(1).await.unwrap(), 1);
}
