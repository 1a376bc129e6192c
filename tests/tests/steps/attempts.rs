//! What a second attempt does, and what it does not do again; over each store.

use std::time::Duration;

use axum::http::StatusCode;
use cratestack_runtime::testing::{Crash, Request, TestStore};

use crate::over_each_store;
use crate::world::{Fate, World, service};

over_each_store! {
    a_run_that_died_between_two_steps_is_gone_on_with,
    a_run_that_died_after_its_last_step_does_nothing_again,
    an_error_frees_the_key_for_its_own_request_alone,
    an_error_before_the_first_step_frees_the_key_for_everybody,
    a_panic_frees_the_key_for_its_own_request_alone,
    each_attempt_brings_all_steps_along_and_adds_its_own,
    a_run_that_was_taken_over_records_no_step_and_no_outcome,
    what_is_derived_in_a_step_is_the_same_in_every_attempt,
    a_step_whose_closure_fails_records_nothing,
    the_same_request_under_another_key_or_by_another_caller_begins_anew,
}

/// Another request under the key is refused.
async fn is_refused_to_another<S: TestStore>(order: &Request<S>) {
    let other = order.clone().body("another request").send().await;
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY, "{other:?}");
    assert_eq!(other.problem_code().as_deref(), Some("idempotency_key_conflict"), "{other:?}");
}

async fn a_run_that_died_between_two_steps_is_gone_on_with(store: impl TestStore) {
    let world = World::of([Fate::Dies(Crash::once())]);
    let service = service(store, &world);
    let order = service.post("/orders").key("k1");
    order.crash().await;
    let meanwhile = order.send().await;
    assert_eq!(meanwhile.problem_code().as_deref(), Some("idempotency_request_in_flight"), "{meanwhile:?}");
    service.lease_is_over().await;
    is_refused_to_another(&order).await;
    let [first, again] = order.twice().await;
    assert_eq!((first.status(), first.text()), (StatusCode::OK, "charge 1, ship 2"));
    assert_eq!(again.text(), "charge 1, ship 2");
    assert_eq!(world.seen(), [("charge", 1), ("ship", 2)]);
}

async fn a_run_that_died_after_its_last_step_does_nothing_again(store: impl TestStore) {
    let world = World::default();
    let service = service(store, &world);
    let order = service.post("/orders").key("k1");
    for _ in 0..2 {
        order.crash_before_recording().await;
        service.lease_is_over().await;
    }
    assert_eq!(order.twice().await[0].text(), "charge 1, ship 2");
    assert_eq!(world.seen(), [("charge", 1), ("ship", 1)]);
}

async fn an_error_frees_the_key_for_its_own_request_alone(store: impl TestStore) {
    let world = World::of([Fate::Fails, Fate::Fails]);
    let service = service(store, &world);
    let order = service.post("/orders").key("k1");
    for _ in 0..2 {
        let failed = order.send().await;
        assert_eq!((failed.status(), failed.text()), (StatusCode::SERVICE_UNAVAILABLE, "between two steps"));
        is_refused_to_another(&order).await;
    }
    // At once: no lease has ended.
    assert_eq!(order.twice().await[0].text(), "charge 1, ship 2");
    assert_eq!(world.seen(), [("charge", 1), ("ship", 3)]);
}

async fn an_error_before_the_first_step_frees_the_key_for_everybody(store: impl TestStore) {
    let world = World::of([Fate::Fails]);
    let service = service(store, &world);
    let failed = service.post("/orders").key("k1").body("fails first").send().await;
    assert_eq!(failed.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(service.post("/orders").key("k1").body("another request").send().await.text(), "charge 1, ship 2");
    assert_eq!(world.seen(), [("charge", 1), ("ship", 1)]);
}

async fn a_panic_frees_the_key_for_its_own_request_alone(store: impl TestStore) {
    let world = World::of([Fate::Panics]);
    let service = service(store, &world);
    let order = service.post("/orders").key("k1");
    assert_eq!(order.send().await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    is_refused_to_another(&order).await;
    assert_eq!(order.twice().await[0].text(), "charge 1, ship 2");
    assert_eq!(world.seen(), [("charge", 1), ("ship", 2)]);
}

/// However an attempt ends.
async fn each_attempt_brings_all_steps_along_and_adds_its_own(store: impl TestStore) {
    let dies = || Fate::Dies(Crash::once());
    let world = World::of([dies(), Fate::GoesOn, Fate::Fails, Fate::GoesOn, Fate::GoesOn, dies()]);
    let service = service(store, &world);
    let order = service.post("/many").key("k1");
    order.crash().await;
    service.lease_is_over().await;
    assert_eq!(order.send().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    order.crash().await;
    service.lease_is_over().await;
    is_refused_to_another(&order).await;
    assert_eq!(order.twice().await[0].text(), "one 1, two 2, three 3, four 4");
    assert_eq!(world.seen(), [("one", 1), ("two", 2), ("three", 3), ("four", 4)]);
}

/// Its lease ended without its knowing, as where its process was frozen. What it does then, it does beside the other.
async fn a_run_that_was_taken_over_records_no_step_and_no_outcome(store: impl TestStore) {
    let world = World::of([Fate::Stalls]);
    let (one, other) = (service(store.clone(), &world), service(store, &world));
    let to_one = one.post("/orders").key("k1");
    let stalling = tokio::spawn(async move { to_one.send().await });
    while world.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The step is recorded when the run comes to its fate; before that, the other would do it as well.
    tokio::time::sleep(Duration::from_millis(100)).await;
    other.lease_is_over().await;
    let taken_over = other.post("/orders").key("k1").send().await;
    assert_eq!(taken_over.text(), "charge 1, ship 2", "{taken_over:?}");
    world.gate.0.add_permits(1);
    let late = stalling.await.unwrap();
    assert_eq!(late.problem_code().as_deref(), Some("idempotency_reservation_lost"), "{late:?}");
    let recorded = one.post("/orders").key("k1").send().await;
    assert_eq!((recorded.is_replay(), recorded.text()), (true, "charge 1, ship 2"));
    assert!(world.seen().starts_with(&[("charge", 1), ("ship", 2)]), "{:?}", world.seen());
}

async fn what_is_derived_in_a_step_is_the_same_in_every_attempt(store: impl TestStore) {
    let world = World::of([Fate::Dies(Crash::once())]);
    let service = service(store, &world);
    let (order, other) = (service.post("/orders").key("k1"), service.post("/orders").key("k2"));
    order.crash().await;
    other.send().await;
    service.lease_is_over().await;
    order.send().await;
    let effects = world.effects();
    let derived = |step, attempt| effects.iter().filter(move |effect| (effect.step, effect.attempt) == (step, attempt));
    let ships: Vec<_> = derived("ship", 1).chain(derived("ship", 2)).map(|effect| effect.derived).collect();
    let charges: Vec<_> = derived("charge", 1).map(|effect| effect.derived).collect();
    assert_eq!((ships.len(), charges.len()), (2, 2), "{effects:?}");
    assert!(ships[0] != ships[1] && charges[0] != charges[1], "of two keys: {effects:?}");
    assert!(!ships.contains(&charges[0]), "of two steps: {effects:?}");
}

mod failing {
    use super::*;
    use axum::Router;
    use axum::extract::State;
    use axum::routing::post;
    use cratestack_runtime::testing::Service;
    use cratestack_runtime::{Reservation, idempotent};

    use crate::world::{App, Failed};

    /// Its step fails twice, and is then declined by the handler without an error.
    #[idempotent(record = success)]
    async fn declined(State(world): State<World>, reservation: Reservation) -> Result<String, Failed> {
        let charge = async || {
            let charge = world.has("charge", &reservation);
            if reservation.derive("charge").is_nil() || world.seen().len() < 3 {
                return Err(Failed(format!("{charge} is declined")));
            }
            Ok(charge)
        };
        reservation.step("charge", charge).await
    }

    pub fn service<S: TestStore>(store: S, world: &World) -> Service<S> {
        let world = world.clone();
        Service::new(store, move |idempotency| {
            Router::new().route("/declined", post(declined)).with_state(App { idempotency, world: world.clone() })
        })
    }
}

/// Its error is the caller's own, and passes on. The key is free for everybody: nothing was recorded.
async fn a_step_whose_closure_fails_records_nothing(store: impl TestStore) {
    let world = World::default();
    let service = failing::service(store, &world);
    let order = service.post("/declined").key("k1");
    assert_eq!(order.send().await.text(), "charge 1 is declined");
    assert_eq!(order.clone().body("another request").send().await.text(), "charge 2 is declined");
    assert_eq!(order.twice().await[0].text(), "charge 3");
    assert_eq!(world.seen(), [("charge", 1), ("charge", 1), ("charge", 1)]);
}

async fn the_same_request_under_another_key_or_by_another_caller_begins_anew(store: impl TestStore) {
    let world = World::of([Fate::Fails]);
    let service = service(store, &world);
    let order = service.post("/orders").key("k1");
    order.send().await;
    assert_eq!(service.post("/orders").key("k2").send().await.text(), "charge 2, ship 3");
    let bob = order.clone().header("authorization", "Bearer bob");
    assert_eq!(bob.send().await.text(), "charge 4, ship 5");
    assert_eq!(order.send().await.text(), "charge 1, ship 6");
    assert_eq!(world.seen().iter().filter(|(_, attempt)| *attempt == 2).count(), 1);
}
