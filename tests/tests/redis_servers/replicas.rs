use cratestack_tests::{RedisOptions, Way};

#[tokio::test]
async fn a_promoted_replica_has_what_its_link_brought_and_the_others_follow_it() {
    let mut servers = RedisOptions::new().password("secret").start_replicas(2).await;
    servers.primary().tell::<()>("SET before 1").await;
    servers.in_sync().await;
    assert_eq!(servers.servers()[1].tell::<i32>("GET before").await, 1);

    servers.set_link(1, Way::Cut);
    servers.primary().tell::<()>("SET after 2").await;
    servers.primary().kill().await;
    assert_eq!(servers.servers()[1].tell::<Option<i32>>("GET after").await, None);

    servers.promote(1).await;
    servers.in_sync().await;
    servers.primary().tell::<()>("SET then 3").await;
    servers.in_sync().await;
    let other = &servers.servers()[2];
    assert_eq!(other.tell::<(i32, Option<i32>, i32)>("MGET before after then").await, (1, None, 3));

    // The primary of before comes back, and drops what nobody else has.
    servers.servers()[0].start().await;
    servers.follow(0).await;
    servers.in_sync().await;
    assert_eq!(servers.replicas().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(servers.servers()[0].tell::<(i32, Option<i32>, i32)>("MGET before after then").await, (1, None, 3));
}

#[tokio::test]
async fn a_replica_acknowledges_only_over_a_link_that_is_open() {
    let servers = RedisOptions::new().start_replicas(1).await;
    let acknowledged = async |milliseconds: u32| {
        let mut connection = servers.primary().connect().await.unwrap();
        let wait = ["1".to_owned(), milliseconds.to_string()];
        let mut pipe = redis::pipe();
        pipe.cmd("INCR").arg("n").ignore().cmd("WAIT").arg(&wait);
        pipe.query_async::<(i32,)>(&mut connection).await.unwrap().0
    };
    assert_eq!(acknowledged(5000).await, 1);
    servers.set_link(1, Way::Paused);
    assert_eq!(acknowledged(100).await, 0);
    servers.set_link(1, Way::Open);
    servers.in_sync().await;
    assert_eq!(acknowledged(5000).await, 1);
    assert_eq!(servers.servers()[1].tell::<i32>("GET n").await, 3);
}
