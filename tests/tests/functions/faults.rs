//! A store that is away, slow or full, and what the caller is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cratestack_runtime::{
    GuardError, Idempotency, MemoryStore, OnStoreError, PostgresStore, Reservation, StoreError, idempotent,
};
use cratestack_tests::{Proxy, TestDatabase, Way};
use sqlx::postgres::PgPoolOptions;

use crate::failing_store::{FailingStore, Failure, Method, failing};
use crate::shop::{Order, Receipt, Shop, ShopError, order};

#[idempotent(handle = shop.idempotency, name = "charge", key = order.id)]
async fn charge(shop: &Shop, order: Order) -> Result<Receipt, ShopError> {
    Ok(shop.charge(&order))
}

#[idempotent(handle = shop.idempotency, name = "charge", key = order.id)]
async fn charge_owned(shop: Shop, order: Order) -> Result<Receipt, ShopError> {
    Ok(shop.charge(&order))
}

#[tokio::test(start_paused = true)]
async fn where_the_store_cannot_reserve_nothing_runs() {
    for failure in [Failure::Refused, Failure::Panics, Failure::Unanswered] {
        let (shop, store) = failing();
        store.fail(Method::Reserve, failure);
        for told in [charge(&shop, order("a")).await, charge_owned(shop.clone(), order("a")).await] {
            let Err(ShopError::Guard(error @ GuardError::StoreUnavailable { .. })) = told else { panic!("{told:?}") };
            assert!(error.may_retry() && error.to_string().contains("`charge`"), "{error}");
        }
        assert_eq!(shop.charges(), 0);
        store.mend(Method::Reserve);
        assert_eq!(charge(&shop, order("b")).await.unwrap().charge, 1);
    }
}

#[tokio::test]
async fn on_store_error_runs_unprotected() {
    #[idempotent(handle = shop.idempotency, name = "visit", key = order.id, on_store_error = run)]
    async fn visit(shop: &Shop, order: Order, reservation: Reservation) -> Result<(usize, u32), ShopError> {
        Ok((shop.charge(&order).charge, reservation.attempt()))
    }
    let (shop, store) = failing();
    store.fail(Method::Reserve, Failure::Refused);
    assert_eq!(visit(&shop, order("a")).await, Ok((1, 0)));
    assert_eq!(visit(&shop, order("a")).await, Ok((2, 0)));
    store.mend(Method::Reserve);
    assert_eq!(visit(&shop, order("a")).await, Ok((3, 1)));
    assert_eq!(visit(&shop, order("a")).await, Ok((3, 1)));
    // As the handle has it, where the attribute says nothing.
    store.fail(Method::Reserve, Failure::Refused);
    let lenient = shop.by(shop.idempotency.clone().on_store_error(OnStoreError::Run));
    assert_eq!(charge(&lenient, order("b")).await.unwrap().charge, 4);
    assert!(charge(&shop, order("b")).await.is_err());
}

/// The result is told; duplicates here have it from memory, and the store once it is back.
#[tokio::test(start_paused = true)]
async fn an_outcome_that_waits_to_be_written_is_told_here() {
    let (shop, store) = failing();
    store.fail(Method::Finish, Failure::Refused);
    let first = charge(&shop, order("a")).await;
    assert_eq!(first.as_ref().unwrap().charge, 1);
    assert_eq!(charge(&shop, order("a")).await, first);
    let elsewhere = shop.beside(Arc::clone(&store));
    let in_flight = Err(ShopError::Guard(GuardError::InFlight { function: "charge" }));
    assert_eq!(charge(&elsewhere, order("a")).await, in_flight);
    store.mend(Method::Finish);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(charge(&elsewhere, order("a")).await, first);
}

/// As another process that has taken the key over.
#[tokio::test]
async fn a_run_that_was_overtaken_is_lost() {
    let (shop, store) = failing();
    store.fail(Method::Finish, Failure::Overtaken);
    let lost = Err(ShopError::Guard(GuardError::Lost { function: "charge" }));
    assert_eq!(charge(&shop, order("a")).await, lost);
    assert_eq!(charge_owned(shop, order("b")).await, lost);
}

#[tokio::test]
async fn what_is_more_than_may_run_is_overloaded() {
    #[idempotent(handle = shop.idempotency, name = "held", key = order.id)]
    async fn held(shop: &Shop, order: Order) -> Result<Receipt, ShopError> {
        shop.hold().await;
        Ok(shop.charge(&order))
    }
    let shop = Shop::over(Idempotency::new(MemoryStore::new()).max_running(1));
    let first = order("a");
    let mut running = Box::pin(held(&shop, first));
    tokio::select! {
        told = &mut running => panic!("{told:?}"),
        () = shop.has_begun() => {}
    }
    let overloaded = Err(ShopError::Guard(GuardError::Overloaded { function: "charge", bound: "max_running" }));
    assert_eq!(charge(&shop, order("b")).await, overloaded);
    drop(running);
    assert_eq!(shop.idempotency.shutdown(Duration::from_secs(20)).await, 0);
    assert_eq!(charge(&shop, order("b")).await.unwrap().charge, 1);
}

#[tokio::test]
async fn whoever_watches_hears_of_functions() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let store = Arc::new(FailingStore::default());
    let handle = Idempotency::new(Arc::clone(&store));
    let shop = Shop::over(handle.on_event(move |event| told.lock().unwrap().push(event.kind.as_str())));
    #[idempotent(handle = shop.idempotency, name = "watch", key = id, fingerprint = print)]
    async fn watched(shop: &Shop, id: &str, print: u64) -> Result<(), ShopError> {
        assert!(id != "panic", "told to panic");
        drop(shop.charge(&order(id)));
        if id == "error" { Err(ShopError::Declined) } else { Ok(()) }
    }
    for (id, print) in [("a", 1), ("a", 1), ("a", 2), ("error", 1), ("panic", 1)] {
        drop(watched(&shop, id, print).await);
    }
    store.fail(Method::Reserve, Failure::Refused);
    drop(watched(&shop, "b", 1).await);
    let all = [
        "reserved",
        "recorded",
        "replayed",
        "conflict",
        "reserved",
        "released",
        "reserved",
        "panicked",
        "released",
        "unavailable",
    ];
    assert_eq!(*heard.lock().unwrap(), all);
}

/// A database that is cut off and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_away_is_used_again() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::before(database.url()).await;
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(2))
        .connect(proxy.url())
        .await
        .unwrap();
    let store = PostgresStore::new(pool);
    store.migrate().await.unwrap();
    let shop = Shop::over(Idempotency::new(store).store_timeout(Duration::from_secs(3)));
    let first = charge(&shop, order("a")).await.unwrap();
    proxy.set(Way::Cut);
    let told = charge(&shop, order("b")).await;
    let Err(ShopError::Guard(GuardError::StoreUnavailable { error: StoreError::Unavailable(_), .. })) = told else {
        panic!("{told:?}")
    };
    assert_eq!(shop.charges(), 1);
    proxy.set(Way::Open);
    let mut tries = 0;
    let second = loop {
        match charge(&shop, order("b")).await {
            Ok(receipt) => break receipt,
            Err(_) if tries < 200 => tries += 1,
            Err(error) => panic!("{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((second.charge, charge(&shop, order("a")).await.unwrap()), (2, first));
}
