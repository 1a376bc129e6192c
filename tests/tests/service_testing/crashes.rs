//! A process ends, and another one takes over; over each store.

use std::time::Duration;

use axum::http::StatusCode;
use cratestack_runtime::testing::TestStore;
use serde_json::{Value, json};

use crate::over_each_store;
use crate::world::{World, service};

over_each_store! {
    a_retry_is_one_effect,
    duplicates_at_once_are_one_effect,
    a_crash_before_the_record_is_taken_over_once_the_lease_is_over,
    a_crash_stops_the_run_and_all_that_it_has_begun,
    a_lease_that_nobody_renews_ends_by_itself,
    a_crash_keeps_a_release_from_the_store,
    a_restart_keeps_what_is_recorded,
    an_outcome_expires_when_its_time_has_passed,
    time_that_passes_leaves_a_record_alone_that_has_time,
    a_client_that_hangs_up_changes_nothing,
    two_services_over_one_store_are_two_processes,
    what_a_process_was_doing_another_takes_over,
    a_run_that_stalls_past_its_lease_is_taken_over_and_its_outcome_is_nothing,
}

async fn a_retry_is_one_effect(store: impl TestStore) {
    let world = World::new();
    let service = service(store, &world);
    let [first, again] = service.post("/payments").key("k1").json(&json!({"amount": 5})).twice().await;
    assert_eq!((first.status(), again.status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(first.json::<Value>()["paid"], 5);
    assert_eq!(world.charges(), [1]);
}

async fn duplicates_at_once_are_one_effect(store: impl TestStore) {
    let world = World::new();
    let service = service(store, &world);
    let answers = service.post("/payments").key("k1").json(&json!({"amount": 5})).at_once(5).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_replay()).count(), 4, "the others have waited: {answers:?}");
    assert_eq!(world.charges(), [1]);
}

async fn a_crash_before_the_record_is_taken_over_once_the_lease_is_over(store: impl TestStore) {
    let world = World::new();
    let service = service(store, &world);
    let payment = service.post("/crash").key("k1");
    payment.crash().await;
    let meanwhile = payment.send().await;
    assert_eq!(meanwhile.problem_code().as_deref(), Some("idempotency_request_in_flight"), "{meanwhile:?}");
    service.lease_is_over().await;
    let other = payment.clone().body("another request").send().await;
    assert_eq!(other.problem_code().as_deref(), Some("idempotency_key_conflict"), "{other:?}");
    let [taken_over, _] = payment.twice().await;
    assert_eq!((taken_over.status(), taken_over.text()), (StatusCode::OK, "charged"));
    assert_eq!(world.charges(), [1, 2]);
}

async fn a_crash_stops_the_run_and_all_that_it_has_begun(store: impl TestStore) {
    let world = World::new();
    let service = service(store, &world);
    let payment = service.post("/crash").key("k1");
    payment.crash().await;
    // Whatever was left of it would be heard of by now.
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(world.charges(), [1]);
    assert_eq!(payment.send().await.status(), StatusCode::CONFLICT, "its lease lasts");
    service.lease_is_over().await;
    assert_eq!(payment.twice().await[0].text(), "charged");
    assert_eq!(world.charges(), [1, 2]);
}

async fn a_lease_that_nobody_renews_ends_by_itself(store: impl TestStore) {
    let world = World::new();
    let service = service(store, &world);
    let payment = service.post("/refuse").key("k1");
    payment.crash_before_recording().await;
    while payment.send().await.status() == StatusCode::CONFLICT {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.charges(), [1, 2]);
}

/// It would have been free at once.
async fn a_crash_keeps_a_release_from_the_store(store: impl TestStore) {
    let world = World::new();
    let service = service(store, &world);
    let payment = service.post("/refuse").key("k1");
    for attempt in [1, 1] {
        assert_eq!(payment.send().await.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(world.charges().last(), Some(&attempt), "the key was released");
    }
    payment.crash_before_recording().await;
    service.lease_is_over().await;
    payment.send().await;
    assert_eq!(world.charges(), [1, 1, 1, 2]);
}

async fn a_restart_keeps_what_is_recorded(store: impl TestStore) {
    let world = World::new();
    let service = service(store, &world);
    let payment = service.post("/payments").key("k1").json(&json!({"amount": 5}));
    let first = payment.send().await;
    service.restart().await;
    let again = payment.send().await;
    assert!(again.is_replay() && again.body() == first.body(), "{first:?}, {again:?}");
    assert_eq!(world.charges(), [1]);
}

/// Also where the process has kept it in memory, which a second request has it do.
async fn an_outcome_expires_when_its_time_has_passed(store: impl TestStore) {
    let world = World::new();
    let service = service(store, &world);
    let payment = service.post("/payments").key("k1").json(&json!({"amount": 5}));
    payment.twice().await;
    service.advance(Duration::from_secs(24 * 60 * 60 + 1)).await;
    payment.twice().await;
    assert_eq!(world.charges(), [1, 1], "a new request, and no takeover");
}

async fn time_that_passes_leaves_a_record_alone_that_has_time(store: impl TestStore) {
    let world = World::new();
    let service = service(store, &world);
    let payment = service.post("/payments").key("k1").json(&json!({"amount": 5}));
    payment.send().await;
    service.advance(Duration::from_secs(23 * 60 * 60)).await;
    service.lease_is_over().await;
    assert!(payment.send().await.is_replay());
    assert_eq!(world.charges(), [1]);
}

async fn a_client_that_hangs_up_changes_nothing(store: impl TestStore) {
    let world = World::new();
    let service = service(store, &world);
    let payment = service.post("/payments").key("k1").json(&json!({"amount": 5}));
    tokio::select! {
        biased;
        answer = payment.send() => panic!("it takes a while: {answer:?}"),
        () = async { while world.charges().is_empty() { tokio::time::sleep(Duration::from_millis(1)).await } } => {}
    }
    let again = payment.send().await;
    assert!(again.is_replay(), "it has waited for the one that goes on: {again:?}");
    assert_eq!(world.charges(), [1]);
}

async fn two_services_over_one_store_are_two_processes(store: impl TestStore) {
    let world = World::new();
    let (one, other) = (service(store.clone(), &world), service(store, &world));
    let order = json!({"amount": 5});
    let (to_one, to_other) =
        (one.post("/payments").key("k1").json(&order), other.post("/payments").key("k1").json(&order));
    let (by_one, by_other) = tokio::join!(to_one.send(), to_other.send());
    assert!(by_one.is_replay() != by_other.is_replay(), "one has waited for the other: {by_one:?}, {by_other:?}");
    assert_eq!(by_one.body(), by_other.body());
    assert_eq!(world.charges(), [1]);
}

async fn what_a_process_was_doing_another_takes_over(store: impl TestStore) {
    let world = World::new();
    let (one, other) = (service(store.clone(), &world), service(store, &world));
    one.post("/crash").key("k1").crash().await;
    let elsewhere = other.post("/crash").key("k1");
    assert_eq!(elsewhere.send().await.status(), StatusCode::CONFLICT);
    other.lease_is_over().await;
    assert_eq!(elsewhere.send().await.text(), "charged");
    assert!(one.post("/crash").key("k1").send().await.is_replay());
    assert_eq!(world.charges(), [1, 2]);
}

async fn a_run_that_stalls_past_its_lease_is_taken_over_and_its_outcome_is_nothing(store: impl TestStore) {
    let world = World::new();
    let (one, other) = (service(store.clone(), &world), service(store, &world));
    let to_one = one.post("/stall").key("k1");
    let stalling = tokio::spawn(async move { to_one.send().await });
    while world.charges().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    other.lease_is_over().await;
    let taken_over = other.post("/stall").key("k1").send().await;
    assert_eq!(taken_over.text(), "attempt 2", "{taken_over:?}");
    world.gate.add_permits(1);
    let late = stalling.await.unwrap();
    assert_eq!(late.problem_code().as_deref(), Some("idempotency_reservation_lost"), "{late:?}");
    let recorded = one.post("/stall").key("k1").send().await;
    assert_eq!((recorded.is_replay(), recorded.text()), (true, "attempt 2"));
    assert_eq!(world.charges(), [1, 2]);
}
