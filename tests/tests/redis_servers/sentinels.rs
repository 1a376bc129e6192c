use cratestack_tests::RedisOptions;
use redis::{
    AsyncCommands as _,
    sentinel::{SentinelClient, SentinelServerType},
};

#[tokio::test]
async fn sentinels_promote_a_replica_and_tell_clients_of_it() {
    let all = RedisOptions::new().start_sentinels(2).await;
    let mut client = SentinelClient::build(all.urls(), all.name(), None, SentinelServerType::Master).unwrap();
    let mut connection = client.get_async_connection().await.unwrap();
    connection.set::<_, _, ()>("kept", 7).await.unwrap();
    super::wait_for_replicas(&mut connection, 2).await;

    assert_eq!(all.primary().await, 0);
    all.servers()[0].kill().await;
    let promoted = all.wait_for_failover(0).await;
    assert_ne!(promoted, 0);
    let mut connection = client.get_async_connection().await.unwrap();
    assert_eq!(connection.get::<_, i32>("kept").await.unwrap(), 7);
    connection.set::<_, _, ()>("then", 8).await.unwrap();
    assert_eq!(all.servers()[promoted].tell::<i32>("GET then").await, 8);
}
