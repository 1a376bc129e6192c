//! A call from its key to its result: what duplicates are told meanwhile, and what an error or a panic leaves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cratestack_runtime::records::{IfRunning, Principal, RecordQuery};
use cratestack_runtime::{GuardError, Reservation, idempotent};
use serde::{Deserialize, Serialize};

use crate::shop::{Order, Receipt, Shop, ShopError, order};

crate::over_all! {
    an_error_frees_the_key,
    an_error_that_is_recorded_is_told_again,
    a_duplicate_is_in_flight_while_the_first_runs,
    whoever_waits_is_told_the_result,
    whoever_waits_longer_than_it_may_is_in_flight,
    whoever_waits_runs_where_the_first_failed,
    a_panic_frees_the_key,
    a_run_outlives_its_lease,
    a_run_whose_key_was_given_back_is_lost,
    a_step_that_is_done_is_not_done_again,
    an_error_of_an_unfinished_step_is_not_recorded,
}

#[idempotent(handle = shop.idempotency, name = "held", key = order.id, lease = "300ms")]
async fn held(shop: Shop, order: Order) -> Result<Receipt, ShopError> {
    shop.hold().await;
    Ok(shop.charge(&order))
}

#[idempotent(handle = shop.idempotency, name = "held", key = order.id, lease = "300ms")]
async fn held_here(shop: &Shop, order: Order) -> Result<Receipt, ShopError> {
    shop.hold().await;
    Ok(shop.charge(&order))
}

#[idempotent(handle = shop.idempotency, name = "held", key = order.id, lease = "300ms", wait = "30s")]
async fn awaited(shop: &Shop, order: Order) -> Result<Receipt, ShopError> {
    Ok(shop.charge(&order))
}

const IN_FLIGHT: GuardError = GuardError::InFlight { function: "held" };

async fn an_error_frees_the_key(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "decline", key = order.id)]
    async fn decline(shop: &Shop, order: &Order, is_declined: bool) -> Result<Receipt, ShopError> {
        let receipt = shop.charge(order);
        if is_declined { Err(ShopError::Declined) } else { Ok(receipt) }
    }
    assert_eq!(decline(&one, &order("a"), true).await, Err(ShopError::Declined));
    assert_eq!(decline(&other, &order("a"), true).await, Err(ShopError::Declined));
    assert_eq!(decline(&one, &order("a"), false).await.unwrap().charge, 3);
    assert_eq!(decline(&other, &order("a"), true).await.unwrap().charge, 3);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Refusal {
    Declined { by: String },
    Guard(String),
}

impl From<GuardError> for Refusal {
    fn from(error: GuardError) -> Self {
        Self::Guard(error.to_string())
    }
}

async fn an_error_that_is_recorded_is_told_again(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "refuse", key = order.id, record = all)]
    async fn refuse(shop: &Shop, order: &Order) -> Result<Receipt, Refusal> {
        Err(Refusal::Declined { by: format!("bank {}", shop.charge(order).charge) })
    }
    let first = refuse(&one, &order("a")).await;
    assert_eq!(first, Err(Refusal::Declined { by: "bank 1".to_owned() }));
    assert_eq!((refuse(&one, &order("a")).await, refuse(&other, &order("a")).await), (first.clone(), first));
    assert_eq!(one.charges(), 1);
}

async fn a_duplicate_is_in_flight_while_the_first_runs(one: Shop, other: Shop) {
    for (key, is_borrowed) in [("a", false), ("b", true)] {
        let shop = one.clone();
        let first = tokio::spawn(async move {
            if is_borrowed { held_here(&shop, order(key)).await } else { held(shop, order(key)).await }
        });
        one.has_begun().await;
        for shop in [&one, &other] {
            assert_eq!(held_here(shop, order(key)).await, Err(ShopError::Guard(IN_FLIGHT)));
            assert_eq!(held(shop.clone(), order(key)).await, Err(ShopError::Guard(IN_FLIGHT)));
        }
        one.let_go();
        let first = first.await.unwrap();
        assert_eq!(held_here(&other, order(key)).await, first);
    }
    assert_eq!(one.charges(), 2);
}

async fn whoever_waits_is_told_the_result(one: Shop, other: Shop) {
    let first = tokio::spawn(held(one.clone(), order("a")));
    one.has_begun().await;
    let waiting =
        [one.clone(), other.clone(), other].map(|shop| tokio::spawn(async move { awaited(&shop, order("a")).await }));
    tokio::time::sleep(Duration::from_millis(500)).await;
    one.let_go();
    let first = first.await.unwrap();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), first);
    }
    assert_eq!(one.charges(), 1);
}

async fn whoever_waits_longer_than_it_may_is_in_flight(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "held", key = order.id, wait = "200ms")]
    async fn impatient(shop: &Shop, order: Order) -> Result<Receipt, ShopError> {
        Ok(shop.charge(&order))
    }
    let first = tokio::spawn(held(one.clone(), order("a")));
    one.has_begun().await;
    assert_eq!(impatient(&one, order("a")).await, Err(ShopError::Guard(IN_FLIGHT)));
    assert_eq!(impatient(&other, order("a")).await, Err(ShopError::Guard(IN_FLIGHT)));
    one.let_go();
    assert_eq!(first.await.unwrap().unwrap().charge, 1);
}

async fn whoever_waits_runs_where_the_first_failed(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "held", key = order.id)]
    async fn failing(shop: Shop, order: Order) -> Result<Receipt, ShopError> {
        shop.hold().await;
        drop(order);
        Err(ShopError::Declined)
    }
    let first = tokio::spawn(failing(one.clone(), order("a")));
    one.has_begun().await;
    let waiting = tokio::spawn(async move { awaited(&other, order("a")).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    one.let_go();
    assert_eq!(first.await.unwrap(), Err(ShopError::Declined));
    assert_eq!(waiting.await.unwrap().unwrap().charge, 1);
}

#[idempotent(handle = shop.idempotency, name = "panic", key = order.id)]
async fn panicking(shop: Shop, order: Order, is_well: bool) -> Result<Receipt, ShopError> {
    tokio::task::yield_now().await;
    assert!(is_well, "told to panic");
    Ok(shop.charge(&order))
}

#[idempotent(handle = shop.idempotency, name = "panic", key = order.id)]
async fn panicking_here(shop: &Shop, order: Order, is_well: bool) -> Result<Receipt, ShopError> {
    assert!(is_well, "told to panic");
    Ok(shop.charge(&order))
}

async fn a_panic_frees_the_key(one: Shop, other: Shop) {
    let panicked = Err(ShopError::Guard(GuardError::Panicked { function: "panic" }));
    assert_eq!(panicking(one.clone(), order("a"), false).await, panicked);
    assert_eq!(panicking_here(&other, order("a"), false).await, panicked);
    assert_eq!(panicking_here(&one, order("a"), true).await.unwrap().charge, 1);
    assert_eq!(panicking(other, order("a"), false).await.unwrap().charge, 1);
}

async fn a_run_outlives_its_lease(one: Shop, other: Shop) {
    for (key, is_borrowed) in [("a", false), ("b", true)] {
        let shop = one.clone();
        let first = tokio::spawn(async move {
            if is_borrowed { held_here(&shop, order(key)).await } else { held(shop, order(key)).await }
        });
        one.has_begun().await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(held_here(&other, order(key)).await, Err(ShopError::Guard(IN_FLIGHT)));
        one.let_go();
        assert!(first.await.unwrap().is_ok());
    }
    assert_eq!(one.charges(), 2);
}

/// By an operator, as a lease that was lost would have it: the other run's result is the one that counts.
async fn a_run_whose_key_was_given_back_is_lost(one: Shop, other: Shop) {
    for (key, is_borrowed) in [("a", false), ("b", true)] {
        let before = one.charges();
        let shop = one.clone();
        let first = tokio::spawn(async move {
            if is_borrowed { held_here(&shop, order(key)).await } else { held(shop, order(key)).await }
        });
        one.has_begun().await;
        let running = other.idempotency.list(&RecordQuery::new(1)).await.unwrap().remove(0);
        let whose = Principal::function("held");
        other.idempotency.release(&whose, &running.key, IfRunning::Remove).await.unwrap();
        let second = awaited(&other, order(key)).await.unwrap();
        one.let_go();
        assert_eq!(first.await.unwrap(), Err(ShopError::Guard(GuardError::Lost { function: "held" })));
        assert_eq!(held_here(&one, order(key)).await, Ok(second));
        assert_eq!(one.charges() - before, 2, "the run that lost its key has had its effect");
    }
}

#[idempotent(handle = shop.idempotency, name = "steps", key = order.id)]
async fn in_steps(
    shop: &Shop,
    reservation: Reservation,
    order: &Order,
    fails: &AtomicUsize,
) -> Result<(usize, u32), ShopError> {
    let charge = reservation.step("charge", async || Ok::<_, ShopError>(shop.charge(order).charge)).await?;
    if fails.fetch_sub(1, Ordering::SeqCst) > 0 {
        return Err(ShopError::Declined);
    }
    Ok((charge, reservation.attempt()))
}

async fn a_step_that_is_done_is_not_done_again(one: Shop, other: Shop) {
    let fails = AtomicUsize::new(2);
    assert_eq!(in_steps(&one, &order("a"), &fails).await, Err(ShopError::Declined));
    assert_eq!(in_steps(&other, &order("a"), &fails).await, Err(ShopError::Declined));
    let (charge, attempt) = in_steps(&one, &order("a"), &fails).await.unwrap();
    assert_eq!((charge, attempt, one.charges()), (1, 3, 1));
}

async fn an_error_of_an_unfinished_step_is_not_recorded(one: Shop, other: Shop) {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Text(String);
    impl From<GuardError> for Text {
        fn from(error: GuardError) -> Self {
            Self(error.to_string())
        }
    }
    impl From<cratestack_runtime::StepError> for Text {
        fn from(error: cratestack_runtime::StepError) -> Self {
            Self(error.to_string())
        }
    }
    #[idempotent(handle = shop.idempotency, name = "steps", key = order.id, record = all)]
    async fn twice(shop: &Shop, order: &Order, reservation: Reservation, second: &str) -> Result<usize, Text> {
        let charge = reservation.step("charge", async || Ok::<_, Text>(shop.charge(order).charge)).await?;
        reservation.step(second, async || Ok::<_, Text>(())).await?;
        Ok(charge)
    }
    let repeated = twice(&one, &order("a"), "charge").await.unwrap_err();
    assert!(repeated.0.contains("begun twice"), "{repeated:?}");
    assert_eq!(twice(&other, &order("a"), "ship").await, Ok(1));
    assert_eq!(one.charges(), 1);
}
