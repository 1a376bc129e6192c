//! What holds on either database.

use std::time::Duration;

use axum::http::StatusCode;
use cratestack_runtime::testing::Crash;

use crate::world::{Fate, World};

/// Each test, with `$shop` the service over either database.
macro_rules! over_both {
    ($($(#[$attribute:meta])* async fn $name:ident() $body:block)*) => {
        over_both!(@ postgres, on_postgres: $($(#[$attribute])* $name $body)*);
        over_both!(@ sqlite, on_sqlite: $($(#[$attribute])* $name $body)*);
    };
    (@ $module:ident, $shop:ident: $($(#[$attribute:meta])* $name:ident $body:block)*) => {
        mod $module {
            use super::*;
            use crate::world::$shop::{database, orders, service};

            $(
                $(#[$attribute])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() $body
            )*
        }
    };
}

over_both! {
    async fn what_a_step_writes_is_committed_once_over_all_attempts() {
        let (pool, _keep) = database().await;
        let world = World::of([("booked", Fate::Fails), ("shipped", Fate::Fails)]);
        let service = service(&pool, &world);
        let order = service.post("/orders").key("k1");
        for _ in 0..2 {
            assert_eq!(order.send().await.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(orders(&pool).await, [1]);
        }
        let [first, again] = order.twice().await;
        assert_eq!((first.status(), first.text(), again.text()), (StatusCode::OK, "1", "1"));
        assert_eq!(orders(&pool).await, [1]);
        assert_eq!(world.seen(), [("charge", 1), ("book", 1), ("ship", 2), ("ship", 3)]);
    }

    async fn an_error_of_the_closure_undoes_its_writes_and_records_nothing() {
        let (pool, _keep) = database().await;
        let world = World::of([("written", Fate::Fails)]);
        let service = service(&pool, &world);
        let order = service.post("/orders").key("k1");
        let failed = order.send().await;
        assert_eq!(failed.text(), "told to fail: written");
        assert!(orders(&pool).await.is_empty());
        assert_eq!(order.send().await.status(), StatusCode::OK);
        assert_eq!(orders(&pool).await, [2]);
        assert_eq!(world.seen(), [("charge", 1), ("book", 1), ("book", 2), ("ship", 2)]);
        let derived = world.derived("book");
        assert_eq!(derived[0], derived[1], "what is derived is the same in every attempt");
    }

    async fn a_panic_of_the_closure_undoes_its_writes() {
        let (pool, _keep) = database().await;
        let world = World::of([("written", Fate::Panics)]);
        let service = service(&pool, &world);
        let order = service.post("/orders").key("k1");
        assert_eq!(order.send().await.problem_code().as_deref(), Some("idempotency_handler_panicked"));
        assert!(orders(&pool).await.is_empty());
        assert_eq!(order.send().await.status(), StatusCode::OK);
        assert_eq!(orders(&pool).await, [2]);
    }

    async fn a_process_that_dies_at_any_place_does_each_step_once() {
        for place in ["charged", "written", "booked", "shipped"] {
            let (pool, _keep) = database().await;
            let world = World::of([(place, Fate::Dies(Crash::once()))]);
            let service = service(&pool, &world);
            let order = service.post("/orders").key("k1");
            order.crash().await;
            let is_booked = matches!(place, "booked" | "shipped");
            assert_eq!(orders(&pool).await.len(), usize::from(is_booked), "{place}");
            service.lease_is_over().await;
            assert_eq!(order.send().await.status(), StatusCode::OK, "{place}");
            assert_eq!(orders(&pool).await, [if is_booked { 1 } else { 2 }], "{place}");
            service.restart().await;
            assert!(order.send().await.is_replay(), "{place}");
            assert_eq!(world.seen().iter().filter(|(step, _)| *step == "charge").count(), 1, "{place}");
        }
    }

    async fn a_process_that_dies_before_its_outcome_is_recorded_does_no_step_again() {
        let (pool, _keep) = database().await;
        let world = World::default();
        let service = service(&pool, &world);
        let order = service.post("/orders").key("k1");
        for _ in 0..2 {
            order.crash_before_recording().await;
            service.lease_is_over().await;
        }
        assert_eq!(order.send().await.text(), "1");
        assert_eq!((orders(&pool).await, world.seen().len()), (vec![1], 3));
    }

    async fn a_closure_that_takes_longer_than_the_lease_is_undone() {
        let (pool, _keep) = database().await;
        let world = World::of([("written", Fate::Sleeps(Duration::from_secs(60)))]);
        let service = service(&pool, &world);
        let order = service.post("/short").key("k1");
        let late = order.send().await;
        assert!(late.text().contains("`book` took longer than the lease, 300ms, and is rolled back"), "{}", late.text());
        assert!(orders(&pool).await.is_empty());
        assert_eq!(order.send().await.status(), StatusCode::OK);
        assert_eq!(orders(&pool).await, [2]);
    }

    /// What it committed is there, and nobody but its own request may do it again.
    async fn a_closure_that_ends_its_transaction_is_found_out() {
        let (pool, _keep) = database().await;
        let service = service(&pool, &World::default());
        let order = service.post("/ends").key("k1");
        let ended = order.send().await;
        assert!(ended.text().contains("`ends` ended its transaction with a statement of its own"), "{}", ended.text());
        assert_eq!(orders(&pool).await, [1]);
        assert_eq!(order.send().await.problem_code().as_deref(), Some("idempotency_request_in_flight"));
        let other = order.clone().body("another").send().await;
        assert_eq!(other.problem_code().as_deref(), Some("idempotency_key_conflict"));
    }

    async fn a_transaction_that_is_leaked_within_the_closures_is_refused() {
        let (pool, _keep) = database().await;
        let service = service(&pool, &World::default());
        let leaked = service.post("/leaks").key("k1").send().await;
        assert!(leaked.text().contains("cannot be committed and was rolled back"), "{}", leaked.text());
        assert!(orders(&pool).await.is_empty());
    }

    async fn a_step_within_a_transaction_step_is_refused() {
        let (pool, _keep) = database().await;
        let service = service(&pool, &World::default());
        for inner in ["plain", "transaction"] {
            let nested = service.post("/nested").key(inner).body(inner).send().await;
            let expected = "the step `inner` is begun within the transaction step `outer`";
            assert!(nested.text().contains(expected), "{}", nested.text());
        }
        assert!(orders(&pool).await.is_empty());
    }

    async fn a_name_is_one_steps() {
        let (pool, _keep) = database().await;
        let service = service(&pool, &World::default());
        let twice = service.post("/twice").key("k1").send().await;
        assert!(twice.text().contains("the step `book` is begun twice in one run"), "{}", twice.text());
        assert_eq!(orders(&pool).await, [1], "the first counts");
    }

    async fn a_value_that_cannot_be_recorded_is_not_committed() {
        let (pool, _keep) = database().await;
        let service = service(&pool, &World::default());
        let large = service.post("/large").key("k1").send().await;
        assert!(large.text().contains("it has 1048578 bytes, and at most 1048576 are kept"), "{}", large.text());
        assert!(orders(&pool).await.is_empty());
    }

    async fn steps_may_be_done_at_once() {
        let (pool, _keep) = database().await;
        let service = service(&pool, &World::default());
        let order = service.post("/joined").key("k1");
        for _ in 0..2 {
            order.crash_before_recording().await;
            service.lease_is_over().await;
        }
        assert_eq!(order.send().await.text(), "None true");
        assert_eq!(orders(&pool).await, [1, 1]);
    }

    async fn a_step_that_is_given_up_halfway_is_undone() {
        let (pool, _keep) = database().await;
        let world = World::of([("written", Fate::Stalls)]);
        let service = service(&pool, &world);
        assert_eq!(service.post("/dropped").key("k1").send().await.text(), "dropped");
        let charges: Vec<String> = sqlx::query_scalar("SELECT charge FROM orders").fetch_all(&pool).await.unwrap();
        assert_eq!(charges, ["done"] as [&str; 1]);
    }

    async fn without_a_key_there_may_be_no_reservation() {
        let (pool, _keep) = database().await;
        let service = service(&pool, &World::default());
        assert_eq!(service.post("/perhaps").send().await.text(), "unguarded");
        assert_eq!(service.post("/perhaps").key("k1").send().await.text(), "1");
    }
}
