use cratestack_tests::{RedisOptions, RedisServer, redis::Fsync};

const KEYS: usize = 100;

/// Acknowledged one by one; says how many of them the server knows once it is back.
async fn kept_of_acknowledged(server: &RedisServer, round: usize, end: impl AsyncFn(&RedisServer)) -> usize {
    let mut connection = server.connect().await.unwrap();
    let key = format!("round {round}");
    for value in 0..KEYS {
        redis::cmd("RPUSH").arg(&key).arg(value).exec_async(&mut connection).await.unwrap();
    }
    end(server).await;
    server.start().await;
    let mut connection = server.connect().await.unwrap();
    redis::cmd("LLEN").arg(&key).query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_loss_of_power_takes_what_was_acknowledged_and_not_synced_each_second() {
    let server = RedisOptions::new().append_only(Fsync::Everysec).loses_power().start().await;
    // A sync may fall between the last word and the loss. It does not each time.
    for round in 0..10 {
        if kept_of_acknowledged(&server, round, async |server| server.lose_power().await).await < KEYS {
            return;
        }
    }
    panic!("nothing was lost in ten rounds");
}

#[tokio::test]
async fn a_loss_of_power_takes_nothing_that_was_acknowledged_after_its_sync() {
    let server = RedisOptions::new().append_only(Fsync::Always).loses_power().start().await;
    for round in 0..3 {
        assert_eq!(kept_of_acknowledged(&server, round, async |server| server.lose_power().await).await, KEYS);
    }
    assert_eq!(server.tell::<usize>("DBSIZE").await, 3);
}

#[tokio::test]
async fn a_kill_takes_nothing_for_the_system_still_writes_it() {
    let server = RedisOptions::new().append_only(Fsync::No).loses_power().start().await;
    for round in 0..3 {
        assert_eq!(kept_of_acknowledged(&server, round, async |server| server.kill().await).await, KEYS);
    }
}

#[tokio::test]
async fn what_comes_after_the_last_sync_is_lost_to_the_byte() {
    let server = RedisOptions::new().append_only(Fsync::Always).loses_power().start().await;
    server.tell::<()>("SET synced 1").await;
    // It syncs never.
    server.tell::<()>("CONFIG SET appendfsync no").await;
    server.tell::<()>("SET lost 2").await;
    server.lose_power().await;
    server.start().await;
    assert_eq!(server.tell::<(Option<i32>, Option<i32>)>("MGET synced lost").await, (Some(1), None));
    // The end of the file was a whole command.
    assert!(!server.log().contains("runcat"), "{}", server.log());

    // Its files are noted as they are: a second loss takes no more.
    server.lose_power().await;
    server.start().await;
    assert_eq!(server.tell::<Option<i32>>("GET synced").await, Some(1));
}

#[tokio::test]
async fn a_file_that_was_rewritten_keeps_what_is_synced_of_it() {
    let server = RedisOptions::new().append_only(Fsync::Always).loses_power().start().await;
    for n in 0..3 {
        server.tell::<()>(&format!("SET key{n} {n}")).await;
        server.tell::<String>("BGREWRITEAOF").await;
        for field in ["aof_rewrite_scheduled", "aof_rewrite_in_progress"] {
            while server.info(field).await.unwrap().as_deref() != Some("0") {}
        }
        assert_eq!(server.info("aof_last_bgrewrite_status").await.unwrap().as_deref(), Some("ok"));
    }
    server.tell::<()>("SET key3 3").await;
    server.lose_power().await;
    server.start().await;
    assert_eq!(server.tell::<Vec<Option<i32>>>("MGET key0 key1 key2 key3").await, [0, 1, 2, 3].map(Some));
}
