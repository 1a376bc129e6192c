//! The promises that all doors make, over each store.

use std::time::Duration;

use cratestack_runtime::Idempotency;
use cratestack_runtime::records::{IfRunning, Principal};
use futures_util::future::join_all;

use crate::door::{Door, Outcome, Terms};
use crate::places::{Away, Place};
use crate::work::{Next, Work};

macro_rules! on_each_store {
    ($door:ty: $($name:ident,)*) => {
        on_each_store! { @ memory, $door: $($name,)* }
        on_each_store! { @ sqlite, $door: $($name,)* }
        on_each_store! { @ postgres, $door: $($name,)* }
    };
    (@ $place:ident, $door:ty: $($name:ident,)*) => {
        mod $place {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let place = crate::places::$place().await;
                    crate::promises::$name::<$door>(&place).await;
                }
            )*
        }
    };
}

/// The whole suite over one door. Where a run ends with its caller, what is said of callers that go away does not hold.
macro_rules! kept_by {
    ($module:ident: $door:ty) => {
        kept_by! { $module: $door, a_caller_that_goes_away_changes_nothing, }
    };
    ($module:ident: $door:ty, whose runs end with their callers) => {
        kept_by! { $module: $door, }
    };
    ($module:ident: $door:ty, $($beside:ident,)*) => {
        mod $module {
            on_each_store! {
                $door:
                of_many_calls_at_once_one_runs,
                two_processes_count_as_one,
                a_finished_call_is_replayed,
                another_payload_under_the_key_is_a_conflict,
                a_running_call_is_in_flight,
                who_waits_gets_the_outcome,
                a_panic_frees_the_key,
                an_error_frees_the_key,
                an_error_is_an_outcome_where_that_is_said,
                principals_do_not_meet,
                a_run_that_was_overtaken_does_not_answer_for_the_key,
                every_attempt_derives_the_same_and_bears_another_token,
                a_finished_step_is_not_done_again,
                $($beside,)*
            }

            #[tokio::test]
            async fn a_store_that_is_away_lets_nothing_run() {
                crate::promises::a_store_that_is_away_lets_nothing_run::<$door>().await;
            }

            #[tokio::test]
            async fn a_store_that_is_away_can_be_ignored() {
                crate::promises::a_store_that_is_away_can_be_ignored::<$door>().await;
            }
        }
    };
}

kept_by! { handler: crate::handler::Handler }
kept_by! { handler_with_handle: crate::handler_with_handle::HandlerWithHandle }
kept_by! { layer: crate::layer::Layer }
kept_by! { layer_over_handler: crate::layer::LayerOverHandler }
kept_by! { function: crate::function::Function }
kept_by! { borrowing_function: crate::function::BorrowingFunction, whose runs end with their callers }

const ALICE: &str = "Bearer alice";
const BOB: &str = "Bearer bob";

fn open<D: Door>(place: &Place, terms: Terms) -> (D, Work) {
    let work = Work::default();
    (D::open(place.handle(), work.clone(), terms), work)
}

/// Begins a call of Alice's under `k`, and returns once its run waits at the gate.
async fn hold<D: Door>(door: &D, work: &Work) -> tokio::task::JoinHandle<Outcome> {
    work.will(&[Next::Wait]);
    let door = door.clone();
    let held = tokio::spawn(async move { door.call(ALICE, "k", "5").await });
    work.waits().await;
    held
}

/// Of outcomes of one key, one is a run's own, and none tells of another run.
fn assert_one_ran(outcomes: &[Outcome]) {
    let ran = outcomes.iter().filter(|outcome| **outcome == Outcome::Fresh(1)).count();
    assert_eq!(ran, 1, "{outcomes:?}");
    let is_legal = |outcome: &Outcome| matches!(outcome, Outcome::Fresh(1) | Outcome::Replayed(1) | Outcome::InFlight);
    assert!(outcomes.iter().all(is_legal), "{outcomes:?}");
}

async fn of_many_calls_at_once_one_runs<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Plain);
    let outcomes = join_all((0..40).map(|_| door.call(ALICE, "k", "5"))).await;
    assert_one_ran(&outcomes);
    assert_eq!(work.effects(), 1);
}

async fn two_processes_count_as_one<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Plain);
    let elsewhere = D::open(place.handle(), work.clone(), Terms::Plain);
    let outcomes = join_all((0..40).map(|n| {
        let door = if n % 2 == 0 { &door } else { &elsewhere };
        door.call(ALICE, "k", "5")
    }));
    assert_one_ran(&outcomes.await);
    assert_eq!(elsewhere.call(ALICE, "k", "5").await, Outcome::Replayed(1));
    assert_eq!(work.effects(), 1);
}

async fn a_finished_call_is_replayed<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Plain);
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Fresh(1));
    for _ in 0..2 {
        assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Replayed(1));
    }
    assert_eq!(door.call(ALICE, "another", "5").await, Outcome::Fresh(2));
    assert_eq!(work.effects(), 2);
}

async fn another_payload_under_the_key_is_a_conflict<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Plain);
    let held = hold(&door, &work).await;
    assert_eq!(door.call(ALICE, "k", "6").await, Outcome::Conflict, "while it runs");
    work.goes_on();
    assert_eq!(held.await.unwrap(), Outcome::Fresh(1));
    assert_eq!(door.call(ALICE, "k", "6").await, Outcome::Conflict);
    assert_eq!(work.effects(), 1);
}

async fn a_running_call_is_in_flight<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Plain);
    let elsewhere = D::open(place.handle(), work.clone(), Terms::Plain);
    let held = hold(&door, &work).await;
    for door in [&door, &elsewhere] {
        assert_eq!(door.call(ALICE, "k", "5").await, Outcome::InFlight);
    }
    work.goes_on();
    assert_eq!(held.await.unwrap(), Outcome::Fresh(1));
    for door in [&door, &elsewhere] {
        assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Replayed(1));
    }
}

async fn who_waits_gets_the_outcome<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Waits);
    let held = hold(&door, &work).await;
    let waiting = (0..4).map(|_| {
        let door = door.clone();
        tokio::spawn(async move { door.call(ALICE, "k", "5").await })
    });
    let waiting: Vec<_> = waiting.collect();
    work.goes_on();
    assert_eq!(held.await.unwrap(), Outcome::Fresh(1));
    for waited in waiting {
        assert_eq!(waited.await.unwrap(), Outcome::Replayed(1));
    }
    assert_eq!(work.effects(), 1);
}

async fn a_panic_frees_the_key<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::ErrorsRecorded);
    work.will(&[Next::Panic]);
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Panicked);
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Fresh(1));
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Replayed(1));
}

async fn an_error_frees_the_key<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Plain);
    work.will(&[Next::Fail]);
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Failed(1));
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Fresh(2));
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Replayed(2));
}

async fn an_error_is_an_outcome_where_that_is_said<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::ErrorsRecorded);
    work.will(&[Next::Fail]);
    for _ in 0..3 {
        assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Failed(1));
    }
    assert_eq!(work.effects(), 1);
}

async fn a_caller_that_goes_away_changes_nothing<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Waits);
    let held = hold(&door, &work).await;
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
    work.goes_on();
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Replayed(1), "it has run to its end");
    assert_eq!(work.effects(), 1);
}

async fn principals_do_not_meet<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Plain);
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Fresh(1));
    assert_eq!(door.call(BOB, "k", "6").await, Outcome::Fresh(2), "neither a replay nor a conflict");
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Replayed(1));
    assert_eq!(door.call(BOB, "k", "6").await, Outcome::Replayed(2));
    assert_eq!(work.effects(), 2);
}

async fn a_run_that_was_overtaken_does_not_answer_for_the_key<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Plain);
    let (elsewhere, other_work) = open::<D>(place, Terms::Plain);
    let stale = hold(&door, &work).await;
    let Some(attempt) = work.attempts().pop() else { panic!("it runs") };
    let principal = Principal::stored(attempt.principal);
    place.handle().release(&principal, &attempt.key, IfRunning::Remove).await.unwrap();
    assert_eq!(elsewhere.call(ALICE, "k", "5").await, Outcome::Fresh(1));
    work.goes_on();
    assert_eq!(stale.await.unwrap(), Outcome::Lost);
    assert_eq!(elsewhere.call(ALICE, "k", "5").await, Outcome::Replayed(1));
    assert_eq!(other_work.effects(), 1);
}

async fn every_attempt_derives_the_same_and_bears_another_token<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Plain);
    work.will(&[Next::Panic]);
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Panicked);
    let elsewhere = D::open(place.handle(), work.clone(), Terms::Plain);
    assert_eq!(elsewhere.call(ALICE, "k", "5").await, Outcome::Fresh(1));
    assert_eq!(door.call(ALICE, "another", "5").await, Outcome::Fresh(2));
    let [first, second, other] = &work.attempts()[..] else { panic!("three runs: {:?}", work.attempts()) };
    assert_eq!(first.derived, second.derived);
    assert_ne!(first.token, second.token);
    assert_ne!(first.derived, other.derived);
}

async fn a_finished_step_is_not_done_again<D: Door>(place: &Place) {
    let (door, work) = open::<D>(place, Terms::Plain);
    work.will(&[Next::PanicAfterStep, Next::Fail]);
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Panicked);
    let elsewhere = D::open(place.handle(), work.clone(), Terms::Plain);
    assert_eq!(elsewhere.call(ALICE, "k", "5").await, Outcome::Failed(1));
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Fresh(2));
    assert_eq!((work.attempts().len(), work.charges()), (3, 1));
}

async fn a_store_that_is_away_lets_nothing_run<D: Door>() {
    let work = Work::default();
    let door = D::open(Idempotency::new(Away), work.clone(), Terms::Plain);
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Unavailable);
    assert_eq!(work.attempts(), []);
}

async fn a_store_that_is_away_can_be_ignored<D: Door>() {
    let work = Work::default();
    let handle = Idempotency::new(Away).store_timeout(Duration::from_secs(60));
    let door = D::open(handle, work.clone(), Terms::RunsWithoutStore);
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Fresh(1));
    assert_eq!(door.call(ALICE, "k", "5").await, Outcome::Fresh(2), "nothing guards it");
}
