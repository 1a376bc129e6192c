//! Many at once, on few connections.

use axum::http::StatusCode;
use cratestack_runtime::Idempotency;
use futures_util::future::join_all;

use crate::databases::{Service, postgres, sqlite};

async fn thundering(service: Service, requests: usize) {
    let answers = join_all((0..requests).map(|_| {
        let service = service.clone();
        tokio::spawn(async move { service.post("/pay", "k1").await })
    }));
    let (mut created, mut in_flight) = (0, 0);
    for answer in answers.await {
        let (status, _, body) = answer.unwrap();
        match status {
            StatusCode::CREATED => {
                assert_eq!(body, "effect 1");
                created += 1;
            }
            StatusCode::CONFLICT => in_flight += 1,
            other => panic!("{other}: {body:?}"),
        }
    }
    println!("{created} created, {in_flight} in flight");
    assert_eq!(service.effects(), 1);
    assert!(created >= 1);
    assert_eq!(service.post("/pay", "k1").await.2, "effect 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_at_once_for_one_key_on_postgres() {
    let (_database, _pool, store) = postgres(10).await;
    thundering(Service::over(Idempotency::new(store)), 2_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_at_once_for_one_key_on_sqlite() {
    let (_folder, _pool, store) = sqlite(10).await;
    thundering(Service::over(Idempotency::new(store)), 2_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_one_is_enough() {
    let (_database, _pool, store) = postgres(1).await;
    let service = Service::over(Idempotency::new(store));
    let answers = join_all((0..50).map(|key| {
        let service = service.clone();
        tokio::spawn(async move { service.post("/pay", &format!("k{key}")).await.0 })
    }));
    for status in answers.await {
        assert_eq!(status.unwrap(), StatusCode::CREATED);
    }
    assert_eq!(service.effects(), 50);
}
