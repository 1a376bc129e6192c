//! Who the store is: a user with just the rights that it needs, over TLS too, and no password in any error.

use std::time::Duration;

use bytes::Bytes;
use cratestack_runtime::records::{IfRunning, RecordQuery, Removal};
use cratestack_runtime::schema::KeyPrefix;
use cratestack_runtime::{
    Claim, ClaimOutcome, Completion, IdempotencyStore, LeaseState, RedisStore, StepRecord, StoreError,
};
use cratestack_schema::redis::ServerNeeds;
use cratestack_tests::RedisOptions;
use cratestack_tests::redis::RedisServer;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};

use crate::service::{HOUR, MINUTE, claim, on, on_cluster, reserve};

const SECRET: &str = "s3cr3t-Passw0rd";

/// Every method of the contract, each to some effect.
async fn everything(store: &RedisStore) -> Result<(), StoreError> {
    let other = Claim { request_hash: [2; 32], ..claim("k", MINUTE) };
    let ClaimOutcome::Reserved { token, .. } = store.reserve(claim("k", MINUTE)).await? else { panic!() };
    assert_eq!(store.reserve(other).await?, ClaimOutcome::Conflict);
    assert_eq!(store.renew("p", "k", token, MINUTE, HOUR).await?, LeaseState::Held);
    let step = StepRecord { principal: "p", key: "k", token, name: "charge", value: b"1" };
    assert_eq!(store.record_step(step).await?, LeaseState::Held);
    assert_eq!(store.record_step(step).await?, LeaseState::Held);
    assert_eq!(store.steps("p", "k", token).await?.len(), 1);
    let mut watch = store.watch("p", "k").await?;
    let body = Bytes::from_static(b"done");
    let done = Completion { principal: "p", key: "k", token, status: 200, headers: &[], body: &body };
    assert_eq!(store.finish(done).await?, LeaseState::Held);
    if let Some(watch) = &mut watch {
        // Where nobody may publish, nothing is told.
        let _ = tokio::time::timeout(Duration::from_millis(300), watch.changed()).await;
    }
    assert!(matches!(store.reserve(claim("k", MINUTE)).await?, ClaimOutcome::Replay(_)));
    assert!(store.now().await?.is_some());
    assert!(store.show("p", "k").await?.is_some());
    store.list(&RecordQuery::new(10)).await?;
    store.remove("p", "k", Removal::forget(IfRunning::Refuse)).await?;
    let brief = store.reserve(claim("k", Duration::from_millis(1))).await?;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let ClaimOutcome::Reserved { token, attempt: 2 } = store.reserve(claim("k", MINUTE)).await? else {
        panic!("{brief:?}")
    };
    store.release("p", "k", token).await?;
    store.remove_all_of("p", Removal::forget(IfRunning::Remove), 10).await?;
    assert_eq!(store.sweep(10).await?, 0);
    Ok(())
}

fn as_user(url: &str) -> String {
    url.replace("://", "://pay:secret@")
}

fn rule(needs: ServerNeeds) -> String {
    format!("ACL SETUSER pay reset on >secret {}", needs.acl_rule(&KeyPrefix::default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rule_grants_all_that_the_store_does_and_each_right_is_needed() {
    let server = RedisServer::launch().await;
    let needs = ServerNeeds::single();
    let store = || RedisStore::new(redis::Client::open(as_user(&server.url())).unwrap());
    server.tell::<()>(&rule(needs)).await;
    everything(&store()).await.unwrap();
    let report = store().check().await.unwrap();
    assert!(!report.to_string().contains("rights"), "{report}");

    for right in needs.acl_rule(&KeyPrefix::default()).split(' ').filter(|word| word.starts_with('+')) {
        server.tell::<()>("FLUSHALL").await;
        server.tell::<()>("SCRIPT FLUSH").await;
        server.tell::<()>(&rule(needs)).await;
        server.tell::<()>(&format!("ACL SETUSER pay {}", right.replace('+', "-"))).await;
        match everything(&store()).await {
            // Those who wait poll; pings are the client's; others are in place for commands of an operator.
            Ok(()) => println!("without {right} all works"),
            Err(error) => {
                println!("without {right}: {error}");
                let StoreError::Database(text) = &error else { panic!("{right}: {error:?}") };
                assert!(text.contains("ACL") && text.contains("check"), "{right}: {text}");
            }
        }
        let report = store().check().await.unwrap();
        assert!(report.to_string().contains("ights"), "without {right}: {report}");
    }
    let reachable = store();
    server.tell::<()>(&rule(needs)).await;
    reserve(&reachable, "k", MINUTE).await;
    // Keys of others are out of reach.
    let elsewhere = store().prefix(KeyPrefix::new("others:").unwrap());
    let refused = elsewhere.reserve(claim("k", MINUTE)).await;
    assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rule_grants_all_that_acknowledgements_take() {
    let replicas = RedisOptions::new().start_replicas(1).await;
    let needs = ServerNeeds::single().acknowledged_by(1);
    for server in replicas.servers() {
        server.tell::<()>(&rule(needs)).await;
    }
    let client = redis::Client::open(as_user(&replicas.primary().url())).unwrap();
    everything(&RedisStore::new(client).acknowledged_by(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rule_grants_all_that_the_store_does_on_a_cluster() {
    let cluster = RedisOptions::new().start_cluster().await;
    for server in cluster.servers() {
        server.tell::<()>(&rule(ServerNeeds::cluster())).await;
    }
    let urls = cluster.urls();
    let store = RedisStore::cluster(urls.iter().map(|url| redis::Client::open(as_user(url)).unwrap())).unwrap();
    everything(&store).await.unwrap();
    let report = store.check().await.unwrap();
    assert!(!report.to_string().contains("ights"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_tls_are_the_clients() {
    let server = RedisOptions::new().password(SECRET).tls().start().await;
    everything(&on(&server)).await.unwrap();
    let all = RedisOptions::new().tls().start_sentinels(1).await;
    let certificates = all.servers()[0].certificates().unwrap();
    let addresses = all.sentinels().iter().map(|sentinel| sentinel.client().get_connection_info().addr().clone());
    let client = SentinelClientBuilder::new(addresses, all.name(), SentinelServerType::Master)
        .unwrap()
        .set_client_to_redis_tls_mode(redis::TlsMode::Secure)
        .set_client_to_redis_certificates(certificates.clone())
        .set_client_to_sentinel_certificates(certificates)
        .build()
        .unwrap();
    everything(&RedisStore::sentinel(client)).await.unwrap();
    let cluster = RedisOptions::new().password(SECRET).tls().start_cluster().await;
    everything(&on_cluster(&cluster)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_has_a_password_in_it() {
    let server = RedisOptions::new().password("right").start().await;
    let wrong = format!("redis://:{SECRET}@127.0.0.1:{}", server.port());
    let unreachable = format!("redis://:{SECRET}@127.0.0.1:1");
    let unknown = format!("redis://:{SECRET}@nowhere.invalid:6379");
    let tls = RedisOptions::new().password("right").tls().start().await;
    let plain = format!("redis://:{SECRET}@127.0.0.1:{}", tls.port());
    let untrusted = format!("rediss://:{SECRET}@127.0.0.1:{}", tls.port());
    for url in [&wrong, &unreachable, &unknown, &plain, &untrusted] {
        for store in [
            RedisStore::new(redis::Client::open(url.as_str()).unwrap()),
            RedisStore::new(redis::Client::open(url.as_str()).unwrap()).acknowledged_by(1),
            RedisStore::cluster([redis::Client::open(url.as_str()).unwrap()]).unwrap(),
        ] {
            let errors = [
                store.reserve(claim("k", MINUTE)).await.map(drop),
                store.now().await.map(drop),
                store.list(&RecordQuery::new(1)).await.map(drop),
                store.check().await.map(drop),
            ];
            for error in errors {
                let text = format!("{:?} {}", error, error.as_ref().unwrap_err());
                assert!(!text.contains(SECRET), "{text}");
            }
            assert!(!format!("{store:?}").contains(SECRET));
        }
    }
    let told = RedisStore::new(redis::Client::open(wrong.as_str()).unwrap()).reserve(claim("k", MINUTE)).await;
    let Err(StoreError::Database(text)) = told else { panic!("{told:?}") };
    assert!(text.contains("password"), "{text}");
}
