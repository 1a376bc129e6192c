use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cratestack_tests::{
    RedisCluster, RedisOptions,
    redis::{Fsync, Pace},
};
use redis::{AsyncCommands as _, cluster_async::ClusterConnection};

async fn connect(cluster: &RedisCluster) -> ClusterConnection {
    cluster.client().build().unwrap().get_async_connection().await.unwrap()
}

#[tokio::test]
async fn a_cluster_loses_a_primary_and_takes_it_back_as_a_replica() {
    let mut cluster = RedisOptions::new().append_only(Fsync::Everysec).start_cluster().await;
    assert_eq!(cluster.primaries().await, [0, 1, 2]);
    let mut connection = connect(&cluster).await;
    for n in 0..60 {
        connection.set::<_, _, ()>(format!("key {n}"), n).await.unwrap();
    }
    // Acknowledged by the replica, else it might not have the last ones.
    let keys = cluster.servers()[1].tell::<i32>("DBSIZE").await;
    assert!((1..60).contains(&keys), "{keys}");
    while cluster.servers()[4].tell::<i32>("DBSIZE").await < keys {}

    assert_eq!(cluster.fail_over(1).await, 4);
    assert_eq!(cluster.primaries().await, [0, 2, 4]);
    for n in 0..60 {
        assert_eq!(connection.get::<_, i32>(format!("key {n}")).await.unwrap(), n);
    }
    cluster.restart(1).await;
    assert_eq!(cluster.primaries().await, [0, 2, 4]);
    assert_eq!(cluster.servers()[1].tell::<i32>("DBSIZE").await, keys);
}

#[tokio::test]
async fn slots_move_while_clients_write_and_no_key_is_lost() {
    let cluster = RedisOptions::new().password("secret").start_cluster().await;
    let mut connection = connect(&cluster).await;
    let done = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (mut connection, done) = (connection.clone(), Arc::clone(&done));
        async move {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                // All of one slot, which moves.
                connection.set::<_, _, ()>(format!("{{a}}{count}"), count).await.unwrap();
                count += 1;
            }
            count
        }
    });
    let slot: u16 = cluster.servers()[0].tell("CLUSTER KEYSLOT a").await;
    assert_eq!(slot, 15495);
    assert_eq!(cluster.primary_of(slot).await, 2);
    let pace = Pace { keys: 10, pause: Duration::from_millis(1) };
    cluster.move_slots(slot - 2..=slot + 2, 0, pace).await;
    cluster.is_well().await;
    assert_eq!(cluster.primary_of(slot).await, 0);
    done.store(true, Ordering::Relaxed);
    let count = writing.await.unwrap();
    assert!(count > 0);
    for n in 0..count {
        assert_eq!(connection.get::<_, i32>(format!("{{a}}{n}")).await.unwrap(), n);
    }
    let asked = async |index: usize, error: &str| {
        let errors = cluster.servers()[index].info(&format!("errorstat_{error}")).await.unwrap();
        errors.is_some()
    };
    assert!(asked(2, "ASK").await || asked(2, "MOVED").await, "the client was led to the new primary");
}

#[tokio::test]
async fn replicas_come_and_go() {
    let mut cluster = RedisOptions::new().start_cluster().await;
    let added = cluster.add_replica(0).await;
    assert_eq!(added, 6);
    let mut connection = cluster.servers()[0].connect().await.unwrap();
    assert_eq!(redis::cmd("WAIT").arg(2).arg(5000).query_async::<i32>(&mut connection).await.unwrap(), 2);
    cluster.remove_replica(3).await;
    assert_eq!(cluster.nodes().await.len(), 6);
    assert_eq!(cluster.fail_over(0).await, 6);
}

#[tokio::test]
async fn a_primary_that_slept_or_lost_its_power_wakes_as_a_replica() {
    let mut cluster = RedisOptions::new().append_only(Fsync::Everysec).loses_power().start_cluster().await;
    cluster.freeze(2).await;
    assert_eq!(cluster.wait_for_failover(2).await, 5);
    // Of a slot that has moved with the primary's place. A connection from before would ask the frozen node for ever.
    connect(&cluster).await.set::<_, _, ()>("a", 1).await.unwrap();
    cluster.thaw(2).await;
    assert_eq!(cluster.primaries().await, [0, 1, 5]);
    assert_eq!(cluster.servers()[2].tell::<i32>("DBSIZE").await, 1);

    cluster.lose_power(5).await;
    assert_eq!(cluster.wait_for_failover(5).await, 2);
    cluster.restart(5).await;
    assert_eq!(cluster.primaries().await, [0, 1, 2]);
    assert_eq!(connect(&cluster).await.get::<_, i32>("a").await.unwrap(), 1);
}
