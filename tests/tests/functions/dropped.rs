//! What becomes of a run whose caller goes away: one that borrows nothing goes on, one that borrows ends with its caller.

use std::time::Duration;

use cratestack_runtime::{GuardError, Reservation, idempotent};

use crate::shop::{Order, Receipt, Shop, ShopError, order};

crate::over_all! {
    a_run_that_borrows_nothing_goes_on,
    a_run_that_borrows_ends_and_frees_its_key_at_once,
    what_a_dropped_run_has_recorded_stays_so,
    a_dropped_caller_that_waits_changes_nothing,
    a_caller_that_does_not_poll_keeps_its_key,
}

#[idempotent(handle = shop.idempotency, name = "held", key = order.id)]
async fn owned(shop: Shop, order: Order) -> Result<Receipt, ShopError> {
    shop.hold().await;
    Ok(shop.charge(&order))
}

#[idempotent(handle = shop.idempotency, name = "held", key = order.id)]
async fn borrowed(shop: &Shop, order: &Order) -> Result<Receipt, ShopError> {
    shop.hold().await;
    Ok(shop.charge(order))
}

#[idempotent(handle = shop.idempotency, name = "held", key = order.id, wait = "20s")]
async fn awaited(shop: &Shop, order: &Order) -> Result<Receipt, ShopError> {
    Ok(shop.charge(order))
}

/// Calls until the body has begun, and then goes away.
async fn begin_and_drop(shop: &Shop, call: impl Future<Output = Result<Receipt, ShopError>>) {
    tokio::select! {
        told = call => panic!("{told:?}"),
        () = shop.has_begun() => {}
    }
}

async fn a_run_that_borrows_nothing_goes_on(one: Shop, other: Shop) {
    begin_and_drop(&one, owned(one.clone(), order("a"))).await;
    let in_flight = Err(ShopError::Guard(GuardError::InFlight { function: "held" }));
    assert_eq!(
        (owned(one.clone(), order("a")).await, borrowed(&other, &order("a")).await),
        (in_flight.clone(), in_flight)
    );
    one.let_go();
    assert_eq!(awaited(&other, &order("a")).await.unwrap().charge, 1);
    assert_eq!(one.idempotency.shutdown(Duration::from_secs(20)).await, 0);
    assert_eq!((awaited(&one, &order("a")).await.unwrap().charge, one.charges()), (1, 1));
}

async fn a_run_that_borrows_ends_and_frees_its_key_at_once(one: Shop, other: Shop) {
    begin_and_drop(&one, borrowed(&one, &order("a"))).await;
    // Its lease is half a minute.
    let told = tokio::time::timeout(Duration::from_secs(20), awaited(&other, &order("a"))).await.unwrap();
    assert_eq!((told.unwrap().charge, one.charges()), (1, 1), "the run that was dropped made no charge");
    one.let_go();
    assert_eq!(one.idempotency.shutdown(Duration::from_secs(20)).await, 0);
    assert_eq!((awaited(&one, &order("a")).await.unwrap().charge, one.charges()), (1, 1));
}

async fn what_a_dropped_run_has_recorded_stays_so(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "steps", key = order.id, wait = "20s")]
    async fn in_steps(shop: &Shop, order: &Order, stops: bool, reservation: Reservation) -> Result<Receipt, ShopError> {
        let receipt = reservation.step("charge", async || Ok::<_, ShopError>(shop.charge(order))).await?;
        if stops {
            shop.hold().await;
        }
        Ok(receipt)
    }
    begin_and_drop(&one, in_steps(&one, &order("a"), true)).await;
    let told = tokio::time::timeout(Duration::from_secs(20), in_steps(&other, &order("a"), false)).await.unwrap();
    assert_eq!((told.unwrap().charge, one.charges()), (1, 1));
}

async fn a_dropped_caller_that_waits_changes_nothing(one: Shop, other: Shop) {
    let first = tokio::spawn(owned(one.clone(), order("a")));
    one.has_begun().await;
    for shop in [&one, &other] {
        let waiting = tokio::time::timeout(Duration::from_millis(100), awaited(shop, &order("a"))).await;
        assert!(waiting.is_err(), "{waiting:?}");
    }
    one.let_go();
    assert_eq!(first.await.unwrap().unwrap().charge, 1);
}

/// It is there, and so is its run: its lease is renewed behind its back.
async fn a_caller_that_does_not_poll_keeps_its_key(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "held", key = order.id, lease = "300ms")]
    async fn short(shop: &Shop, order: &Order) -> Result<Receipt, ShopError> {
        shop.hold().await;
        Ok(shop.charge(order))
    }
    let first = order("a");
    let mut call = Box::pin(short(&one, &first));
    tokio::select! {
        told = &mut call => panic!("{told:?}"),
        () = one.has_begun() => {}
    }
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let in_flight = Err(ShopError::Guard(GuardError::InFlight { function: "held" }));
    assert_eq!(short(&other, &order("a")).await, in_flight);
    one.let_go();
    assert_eq!((call.await.unwrap().charge, one.charges()), (1, 1));
}
