//! Records that something else has changed, and keys of other programs with a record's name.

use std::time::Duration;

use axum::http::StatusCode;
use cratestack_runtime::records::{IfRunning, Removal, RemovalOutcome};
use cratestack_runtime::{ClaimOutcome, Idempotency, IdempotencyStore, LeaseState, StoreError};
use cratestack_tests::redis::RedisServer;

use crate::service::{HOUR, MINUTE, Service, claim, finish, on, reserve};

const NAME: &str = "cratestack_idempotency:p:k";

#[tokio::test]
async fn a_damaged_record_is_500_and_never_runs_again() {
    let server = RedisServer::launch().await;
    let service = Service::over(Idempotency::new(on(&server)).replay_cache_bytes(0));
    let damages = [
        "HSET {} hash short",
        "HDEL {} hash",
        "HDEL {} token",
        "HSET {} status 9999",
        "HSET {} status 0",
        "HSET {} status -5",
        "HSET {} status none",
        "HDEL {} body",
        "HDEL {} headers",
        "HSET {} headers \u{1}",
        "HDEL {} created",
        "HSET {} created soon",
        "HDEL {} expires",
        "HSET {} expires nan",
        "HSET {} attempt one",
        "HDEL {} lease",
    ];
    for (index, damage) in damages.into_iter().enumerate() {
        let key = format!("k{index}");
        assert_eq!(service.post("/pay", &key).await.0, StatusCode::CREATED);
        let effects = service.effects();
        let names: Vec<String> = server.tell(&format!("KEYS *:{key}")).await;
        let [name] = &names[..] else { panic!("{names:?}") };
        server.tell::<i64>(&damage.replace("{}", name)).await;
        let (status, headers, body) = service.post("/pay", &key).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{damage}: {body:?}");
        assert!(String::from_utf8_lossy(&body).contains("idempotency_record_damaged"), "{damage}: {body:?}");
        assert!(!headers.contains_key("idempotency-replayed"));
        assert_eq!(service.effects(), effects, "{damage}");
    }
}

#[tokio::test]
async fn a_damaged_reservation_is_an_error_that_names_the_field() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    for field in ["attempt", "lease", "expires", "created"] {
        server.tell::<()>("FLUSHALL").await;
        let token = reserve(&store, "k", Duration::from_millis(1)).await;
        server.tell::<i64>(&format!("HSET {NAME} {field} x")).await;
        match store.reserve(claim("k", MINUTE)).await {
            Err(StoreError::Codec(text)) => assert!(text.contains(&format!("`{field}`")), "{text}"),
            other => panic!("{field}: {other:?}"),
        }
        // Whoever holds it goes on, as far as that can be told.
        match store.renew("p", "k", token, MINUTE, HOUR).await {
            Ok(LeaseState::Held) if field != "expires" => {}
            Err(StoreError::Codec(text)) if field == "expires" => assert!(text.contains("`expires`"), "{text}"),
            other => panic!("{field}: {other:?}"),
        }
        store.release("p", "k", token).await.unwrap();
    }
}

/// What is left of one must not be found by another request that comes to the same name.
#[tokio::test]
async fn the_rest_of_a_record_is_nobodys() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    for field in ["token", "attempt", "lease", "expires", "created", "status"] {
        server.tell::<()>("FLUSHALL").await;
        server.tell::<i64>(&format!("HSET {NAME} {field} 7 step:charge 1")).await;
        let answer = store.reserve(claim("k", MINUTE)).await;
        assert!(matches!(answer, Err(StoreError::Codec(_))), "{field}: {answer:?}");
    }
}

#[tokio::test]
async fn an_operator_removes_what_is_damaged() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    for damage in ["HDEL {} hash", "HDEL {} lease", "HSET {} expires x", "HDEL {} hash token attempt created"] {
        reserve(&store, "k", Duration::from_millis(1)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        server.tell::<i64>(&damage.replace("{}", NAME)).await;
        let removed = store.remove("p", "k", Removal::release(IfRunning::Remove)).await;
        assert!(matches!(removed, Ok(RemovalOutcome::Removed(_))), "{damage}: {removed:?}");
        assert!(
            matches!(store.reserve(claim("k", MINUTE)).await, Ok(ClaimOutcome::Reserved { attempt: 1, .. })),
            "{damage}"
        );
        server.tell::<()>("FLUSHALL").await;
    }
}

#[tokio::test]
async fn a_key_of_another_program_is_let_be() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    for make in ["SET {} theirs", "RPUSH {} theirs", "SADD {} theirs"] {
        server.tell::<()>("FLUSHALL").await;
        server.tell::<redis::Value>(&make.replace("{}", NAME)).await;
        let token = uuid::Uuid::new_v4();
        let errors = [
            store.reserve(claim("k", MINUTE)).await.map(drop),
            finish(&store, "k", token).await.map(drop),
            store.renew("p", "k", token, MINUTE, HOUR).await.map(drop),
            store.release("p", "k", token).await,
            store.show("p", "k").await.map(drop),
        ];
        for error in errors {
            let Err(StoreError::Database(text)) = error else { panic!("{make}: {error:?}") };
            assert!(text.contains("RedisStore::prefix"), "{text}");
        }
        assert_eq!(server.tell::<i64>(&format!("EXISTS {NAME}")).await, 1);
    }
}
