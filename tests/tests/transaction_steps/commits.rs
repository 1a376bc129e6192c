//! The commit of a transaction step is lost, or its answer, or its session: the run finds out which.

use std::time::Duration;

use axum::http::StatusCode;
use cratestack_runtime::testing::{Answer, Service};
use cratestack_runtime::{Idempotency, PostgresStore};
use cratestack_tests::postgres::{Commits, Fate};
use cratestack_tests::{Client, TestDatabase};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::world::on_postgres::{create, orders, router};
use crate::world::{self, World};

/// A service whose commits meet fates on their way, over a socket, and a pool that goes to the server itself.
async fn service(fates: impl IntoIterator<Item = Fate>, world: &World) -> (Client, PgPool, Commits, TestDatabase) {
    let database = TestDatabase::create().await;
    let direct = PgPool::connect(database.url()).await.unwrap();
    create(&direct).await;
    let proxy = Commits::before(database.url(), fates).await;
    let pool = PgPoolOptions::new().max_connections(4).connect(proxy.url()).await.unwrap();
    let idempotency = Idempotency::transactional(PostgresStore::new(pool));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    let router = router(idempotency, world.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (client, direct, proxy, database)
}

fn booked(world: &World) -> usize {
    world.seen().iter().filter(|(step, _)| *step == "book").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_never_arrived_is_rolled_back_and_done_by_the_next_attempt() {
    let world = World::default();
    let (client, pool, _proxy, _database) = service([Fate::Lost], &world).await;
    let order = client.post("/orders").header("authorization", "Bearer alice").key("k1");
    let lost = order.send().await.unwrap();
    let text = String::from_utf8_lossy(&lost.body).into_owned();
    assert!(text.contains("the transaction step `book` was rolled back"), "{text}");
    assert!(orders(&pool).await.is_empty());
    assert_eq!(order.send().await.unwrap().status, StatusCode::OK);
    assert_eq!((orders(&pool).await, booked(&world)), (vec![2], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_found_and_the_run_goes_on() {
    let world = World::default();
    let (client, pool, _proxy, _database) = service([Fate::Unanswered], &world).await;
    assert_eq!(
        client.post("/orders").header("authorization", "Bearer alice").key("k1").send().await.unwrap().status,
        StatusCode::OK
    );
    assert_eq!((orders(&pool).await, booked(&world)), (vec![1], 1));
}

/// Ten seconds pass before it is given up. The session is sound, so it is ended before anybody looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_never_comes_is_found_and_the_run_goes_on() {
    let world = World::default();
    let (client, pool, _proxy, _database) = service([Fate::Silent], &world).await;
    assert_eq!(
        client.post("/orders").header("authorization", "Bearer alice").key("k1").send().await.unwrap().status,
        StatusCode::OK
    );
    assert_eq!((orders(&pool).await, booked(&world)), (vec![1], 1));
}

/// It would be committed after the run was told that it is not: its session is ended first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_arrives_late_finds_its_session_ended() {
    let world = World::default();
    let late = Duration::from_secs(1);
    let (client, pool, _proxy, _database) = service([Fate::Late(late)], &world).await;
    let order = client.post("/orders").header("authorization", "Bearer alice").key("k1");
    let lost = order.send().await.unwrap();
    let text = String::from_utf8_lossy(&lost.body).into_owned();
    assert!(text.contains("the transaction step `book` was rolled back"), "{text}");
    assert_eq!(order.send().await.unwrap().status, StatusCode::OK);
    tokio::time::sleep(late * 2).await;
    assert_eq!((orders(&pool).await, booked(&world)), (vec![2], 2));
}

/// At each of a transaction step's own statements, and at one of its closure's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_killed_within_the_closure_undoes_its_writes() {
    let (pool, _keep) = world::on_postgres::database().await;
    let world = World::of([("written", world::Fate::Stalls)]);
    let service: Service<PostgresStore> = world::on_postgres::service(&pool, &world);
    let order = service.post("/orders").key("k1");
    let running = tokio::spawn({
        let order = order.clone();
        async move { order.send().await }
    });
    world.arrived.notified().await;
    let killed: i64 = sqlx::query_scalar(
        "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(killed, 1);
    world.gate.0.add_permits(1);
    let killed: Answer = running.await.unwrap();
    assert!(killed.text().contains("the transaction step `book` was rolled back"), "{}", killed.text());
    assert!(orders(&pool).await.is_empty());
    assert_eq!(order.send().await.status(), StatusCode::OK);
    assert_eq!(orders(&pool).await, [2]);
}
