//! What a step itself has to say: each time a clear error, and nothing runs twice by it.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::testing::{Answer, Service, TestStore};
use cratestack_runtime::{Idempotency, IdempotencyStore, Reservation, StepError, StoreError, idempotent};
use cratestack_tests::ThreeMethods;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::over_each_store;
use crate::world::{App, Failed, Fate, World, on_postgres, on_sqlite};

over_each_store! {
    a_name_used_twice_names_both_places_and_the_second_does_not_begin,
    a_value_that_no_longer_decodes_names_the_step_and_not_the_value,
    too_large_a_value_says_how_large_and_its_key_stays_with_its_request,
    a_run_whose_steps_take_all_that_is_kept_begins_no_other,
    a_value_that_cannot_be_encoded_leaves_its_key_to_its_request,
    the_largest_value_and_any_name_come_back,
}

fn error(answer: &Answer) -> String {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    answer.text().to_owned()
}

const FIRST: u32 = line!() + 5;

#[idempotent(record = success)]
async fn repeats(State(world): State<World>, reservation: Reservation) -> Result<String, Failed> {
    let charge = async || Ok::<_, Failed>(world.has("charge", &reservation));
    reservation.step("charge", charge).await?;
    let second = reservation.step("charge", async || Ok::<_, Failed>(world.has("second", &reservation)));
    second.await
}

async fn a_name_used_twice_names_both_places_and_the_second_does_not_begin(store: impl TestStore) {
    let world = World::default();
    let service = of(store, &world, |router| router.route("/repeats", post(repeats)));
    for _ in 0..2 {
        let said = error(&service.post("/repeats").key("k1").send().await);
        assert!(said.contains("`charge` is begun twice in one run"), "{said}");
        for line in [FIRST, FIRST + 1] {
            assert!(said.contains(&format!("refusals.rs:{line}:")), "{line}: {said}");
        }
    }
    assert_eq!(world.seen(), [("charge", 1)], "what the first attempt recorded, the second did not do again");
}

/// The program of yesterday, whose charges are texts.
#[idempotent(record = success)]
async fn texts(State(world): State<World>, reservation: Reservation) -> Result<String, Failed> {
    let charge = reservation.step("charge", async || Ok::<_, Failed>(world.has("charge", &reservation))).await?;
    world.decides().await?;
    Ok(charge)
}

/// The program of today, whose charges are numbers.
#[idempotent(record = success)]
async fn numbers(State(world): State<World>, reservation: Reservation) -> Result<String, Failed> {
    let charge = async || {
        world.has("number", &reservation);
        Ok::<u64, Failed>(7)
    };
    Ok(format!("charge {}", reservation.step("charge", charge).await?))
}

async fn a_value_that_no_longer_decodes_names_the_step_and_not_the_value(store: impl TestStore) {
    let world = World::of([Fate::Fails]);
    let yesterday = of(store.clone(), &world, |router| router.route("/charges", post(texts)));
    let today = of(store, &world, |router| router.route("/charges", post(numbers)));
    error(&yesterday.post("/charges").key("k1").send().await);
    for _ in 0..2 {
        let said = error(&today.post("/charges").key("k1").send().await);
        assert!(said.contains("the step `charge` was done by an earlier attempt"), "{said}");
        assert!(!said.contains("charge 1"), "the value is not told: {said}");
    }
    assert_eq!(yesterday.post("/charges").key("k1").send().await.text(), "charge 1", "the value is still there");
    assert_eq!(world.seen(), [("charge", 1)]);
}

#[idempotent(record = success)]
async fn large(State(world): State<World>, reservation: Reservation, size: String) -> Result<String, Failed> {
    let size: usize = size.parse().unwrap();
    let charge = async || {
        world.has("charge", &reservation);
        Ok::<_, Failed>("x".repeat(size))
    };
    let charge = reservation.step("charge", charge).await?;
    Ok(charge.len().to_string())
}

/// What it did, it did. Another request under its key would do it beside that.
async fn too_large_a_value_says_how_large_and_its_key_stays_with_its_request(store: impl TestStore) {
    let world = World::default();
    let service = of(store, &world, |router| router.route("/large", post(large)));
    let order = service.post("/large").key("k1").body("1048575");
    let said = error(&order.send().await);
    assert!(said.contains("the step `charge`") && said.contains("1048577 bytes") && said.contains("1048576"), "{said}");
    let other = service.post("/large").key("k1").body("1");
    for _ in 0..2 {
        assert_eq!(other.send().await.problem_code().as_deref(), Some("idempotency_key_conflict"));
    }
    assert_eq!(order.send().await.problem_code().as_deref(), Some("idempotency_request_in_flight"));
    service.lease_is_over().await;
    assert_eq!(other.send().await.problem_code().as_deref(), Some("idempotency_key_conflict"));
    error(&order.send().await);
    assert_eq!(world.seen(), [("charge", 1), ("charge", 2)]);
}

#[idempotent(record = success)]
async fn greedy(State(world): State<World>, reservation: Reservation, steps: String) -> Result<String, Failed> {
    let steps: usize = steps.parse().unwrap();
    for n in 0..steps {
        let part = async || {
            world.has("part", &reservation);
            Ok::<_, Failed>("x".repeat(300_000))
        };
        reservation.step(&n.to_string(), part).await?;
    }
    world.decides().await?;
    Ok(steps.to_string())
}

/// Whatever attempt recorded them.
async fn a_run_whose_steps_take_all_that_is_kept_begins_no_other(store: impl TestStore) {
    let world = World::of([Fate::Fails]);
    let service = of(store, &world, |router| router.route("/greedy", post(greedy)));
    let order = service.post("/greedy").key("k1").body("9");
    for attempt in 1..=2 {
        let said = error(&order.send().await);
        assert!(said.contains("the step `4` has not begun: the 4 steps") && said.contains("1200044 bytes"), "{said}");
        assert!(said.contains("1048576"), "{attempt}: {said}");
    }
    assert_eq!(world.seen(), [("part", 1); 4]);
    let modest = service.post("/greedy").key("k2").body("4");
    error(&modest.send().await);
    assert_eq!(modest.send().await.text(), "4", "what is recorded is found");
    assert_eq!(world.seen().len(), 8);
}

/// A map whose keys JSON has no spelling for, say.
struct Unspellable;

impl Serialize for Unspellable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no spelling"))
    }
}

impl<'de> serde::Deserialize<'de> for Unspellable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

#[idempotent(record = success)]
async fn unspellable(State(world): State<World>, reservation: Reservation) -> Result<String, Failed> {
    let charge = async || {
        world.has("charge", &reservation);
        Ok::<_, Failed>(Unspellable)
    };
    reservation.step("charge", charge).await?;
    Ok("charged".to_owned())
}

async fn a_value_that_cannot_be_encoded_leaves_its_key_to_its_request(store: impl TestStore) {
    let world = World::default();
    let service = of(store, &world, |router| router.route("/unspellable", post(unspellable)));
    let order = service.post("/unspellable").key("k1");
    let said = error(&order.send().await);
    assert!(said.contains("the step `charge` cannot be recorded: no spelling"), "{said}");
    service.lease_is_over().await;
    let other = order.clone().body("another request").send().await;
    assert_eq!(other.problem_code().as_deref(), Some("idempotency_key_conflict"), "{other:?}");
    error(&order.send().await);
    assert_eq!(world.seen(), [("charge", 1), ("charge", 2)]);
}

/// Its closure has ended; the future that records it is dropped before it is polled for that.
#[idempotent(record = success)]
async fn given_up(State(world): State<World>, reservation: Reservation) -> Result<String, Failed> {
    let first = reservation.attempt() == 1;
    let charge = reservation.step("charge", async || {
        let charge = world.has("charge", &reservation);
        Ok::<_, Failed>(charge)
    });
    if first {
        // The closure does not wait, so its effect has happened, and the store is on its way.
        let polled = futures_util::future::poll_immediate(charge).await;
        assert_eq!((polled.is_none(), world.seen().len()), (true, 1));
        return Err(Failed("given up".to_owned()));
    }
    charge.await
}

#[tokio::test]
async fn a_step_that_was_given_up_while_it_was_recorded_leaves_its_key_to_its_request_on_sqlite() {
    let (store, _keep) = on_sqlite().await;
    a_step_that_was_given_up_while_it_was_recorded_leaves_its_key_to_its_request(store).await;
}

#[tokio::test]
async fn a_step_that_was_given_up_while_it_was_recorded_leaves_its_key_to_its_request_on_postgres() {
    let (store, _keep) = on_postgres().await;
    a_step_that_was_given_up_while_it_was_recorded_leaves_its_key_to_its_request(store).await;
}

async fn a_step_that_was_given_up_while_it_was_recorded_leaves_its_key_to_its_request(store: impl TestStore) {
    let world = World::default();
    let service = of(store, &world, |router| router.route("/given-up", post(given_up)));
    let order = service.post("/given-up").key("k1");
    assert_eq!(error(&order.send().await), "given up");
    let other = order.clone().body("another request").send().await;
    assert_eq!(other.problem_code().as_deref(), Some("idempotency_key_conflict"), "{other:?}");
    service.lease_is_over().await;
    assert_eq!(order.send().await.status(), StatusCode::OK);
    assert!(matches!(world.seen()[..], [("charge", 1)] | [("charge", 1), ("charge", 2)]), "{:?}", world.seen());
}

#[idempotent(record = success)]
async fn names(State(world): State<World>, reservation: Reservation) -> Result<String, Failed> {
    const NAMES: [&str; 4] = ["", "' \" \\ \0 %", "\u{1f4b6} \u{e9}", "a name of many words, as somebody may have it"];
    for name in NAMES {
        reservation.step(name, async || Ok::<_, Failed>(world.has("named", &reservation))).await?;
    }
    let largest = reservation.step("largest", async || Ok::<_, Failed>("x".repeat((1 << 20) - 2))).await?;
    world.decides().await?;
    Ok(largest.len().to_string())
}

async fn the_largest_value_and_any_name_come_back(store: impl TestStore) {
    let world = World::of([Fate::Fails]);
    let service = of(store, &world, |router| router.route("/names", post(names)));
    error(&service.post("/names").key("k1").send().await);
    assert_eq!(service.post("/names").key("k1").send().await.text(), "1048574");
    assert_eq!(world.seen(), [("named", 1); 4]);
}

fn of<S: TestStore>(
    store: S,
    world: &World,
    routes: impl Fn(Router<App>) -> Router<App> + Send + Sync + 'static,
) -> Service<S> {
    let world = world.clone();
    Service::new(store, move |idempotency: Idempotency| {
        routes(Router::new()).with_state(App { idempotency, world: world.clone() })
    })
}

/// It is refused before its closure begins, so nothing has happened; and what the handler does without it is guarded as
/// ever.
#[idempotent(record = success)]
async fn charge_or_not(State(world): State<World>, reservation: Reservation, body: String) -> Result<String, Failed> {
    let charge = reservation.step("charge", async || Ok::<_, Failed>(world.has("charge", &reservation))).await;
    if body == "without" { Ok(world.has("without", &reservation)) } else { charge }
}

#[tokio::test]
async fn a_store_of_three_methods_refuses_a_step_before_it_begins() {
    let world = World::default();
    let store = ThreeMethods::default();
    let service = of(store.clone(), &world, |router| router.route("/charges", post(charge_or_not)));
    for _ in 0..2 {
        let said = error(&service.post("/charges").key("k1").send().await);
        assert!(said.contains("`charge` is not recorded") && said.contains("keep steps"), "{said}");
    }
    assert_eq!(world.seen(), []);
    let [first, again] = service.post("/charges").key("k1").body("without").twice().await;
    assert_eq!((first.text(), again.text(), again.is_replay()), ("without 1", "without 1", true));
    let step =
        cratestack_runtime::StepRecord { principal: "alice", key: "k", token: Uuid::nil(), name: "charge", value: b"" };
    assert!(!store.keeps_steps());
    assert!(matches!(store.record_step(step).await, Err(StoreError::Unsupported(_))));
    assert!(matches!(store.steps("alice", "k", Uuid::nil()).await, Err(StoreError::Unsupported(_))));
}

#[test]
fn every_error_names_its_step_and_tells_no_value() {
    let name = || "charge".to_owned();
    let errors = [
        StepError::Undecodable { name: name(), reason: "Data at line 1, column 5".to_owned() },
        StepError::Unencodable { name: name(), reason: "no spelling".to_owned() },
        StepError::TooLarge { name: name(), bytes: 9, limit: 8 },
        StepError::TooMany { name: name(), steps: 3, bytes: 9, limit: 8 },
        StepError::Lost { name: name() },
        StepError::Store { name: name(), error: StoreError::Unavailable("away".to_owned()) },
    ];
    for error in errors {
        assert!(error.to_string().contains("the step `charge`"), "{error}");
    }
}
