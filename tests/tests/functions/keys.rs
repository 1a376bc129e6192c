//! Whose a key is, and which calls are one.

use std::sync::Arc;

use cratestack_runtime::records::{IfRunning, Principal, RecordQuery, RecordState};
use cratestack_runtime::{GuardError, Idempotency, MemoryStore, Reservation, idempotent};
use tokio::task::JoinSet;

use crate::shop::{Order, Receipt, Shop, ShopError, order};

crate::over_all! {
    of_a_thousand_calls_of_fifty_keys_from_two_processes_each_key_runs_once,
    a_call_is_told_again_what_the_first_was_told,
    another_fingerprint_is_a_conflict,
    without_a_fingerprint_the_key_alone_tells_calls_apart,
    two_functions_with_one_key_never_meet,
    a_renamed_function_is_still_itself,
    principals_with_one_key_never_meet,
    what_comes_to_nothing_is_an_error,
    an_operator_finds_a_functions_calls_by_its_name,
    a_namespace_is_one_for_functions_too,
}

#[idempotent(handle = shop.idempotency, name = "charge", key = order.id, fingerprint = order.amount, wait = "20s")]
async fn charge(shop: &Shop, order: Order) -> Result<Receipt, ShopError> {
    tokio::task::yield_now().await;
    Ok(shop.charge(&order))
}

fn guard<T>(error: GuardError) -> Result<T, ShopError> {
    Err(ShopError::Guard(error))
}

async fn of_a_thousand_calls_of_fifty_keys_from_two_processes_each_key_runs_once(one: Shop, other: Shop) {
    let mut callers = JoinSet::new();
    for caller in 0..64_usize {
        let shop = if caller % 2 == 0 { one.clone() } else { other.clone() };
        callers.spawn(async move {
            let mut told = Vec::new();
            for call in (caller..1_000).step_by(64) {
                let order = order(&format!("order {}", call % 50));
                told.push(charge(&shop, order).await.unwrap());
            }
            told
        });
    }
    let told: Vec<_> = callers.join_all().await.concat();
    assert_eq!((told.len(), one.charges()), (1_000, 50));
    for receipt in &told {
        let first = told.iter().find(|first| first.order == receipt.order);
        assert_eq!(first, Some(receipt));
    }
}

async fn a_call_is_told_again_what_the_first_was_told(one: Shop, other: Shop) {
    let first = charge(&one, order("a")).await;
    assert!(first.is_ok(), "{first:?}");
    for again in [&one, &other, &one] {
        assert_eq!(charge(again, order("a")).await, first);
    }
    assert_eq!(one.charges(), 1);
}

async fn another_fingerprint_is_a_conflict(one: Shop, other: Shop) {
    charge(&one, order("a")).await.unwrap();
    for shop in [&one, &other] {
        let dearer = Order { amount: 101, ..order("a") };
        assert_eq!(charge(shop, dearer).await, guard(GuardError::Conflict { function: "charge" }));
    }
    assert_eq!(one.charges(), 1);
}

async fn without_a_fingerprint_the_key_alone_tells_calls_apart(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "charge.by-key", key = order.id)]
    async fn charge_by_key(shop: &Shop, order: &Order) -> Result<Receipt, ShopError> {
        Ok(shop.charge(order))
    }
    let first = charge_by_key(&one, &order("a")).await.unwrap();
    let dearer = charge_by_key(&other, &Order { amount: 101, ..order("a") }).await.unwrap();
    assert_eq!((dearer, one.charges()), (first, 1));
}

#[idempotent(handle = shop.idempotency, name = "ship", key = order.id, fingerprint = order.amount)]
async fn ship(shop: &Shop, order: Order) -> Result<Receipt, ShopError> {
    Ok(shop.charge(&order))
}

async fn two_functions_with_one_key_never_meet(one: Shop, other: Shop) {
    let charged = charge(&one, order("a")).await.unwrap();
    let shipped = ship(&other, order("a")).await.unwrap();
    assert_eq!((charged.charge, shipped.charge), (1, 2));
    assert_eq!((charge(&other, order("a")).await, ship(&one, order("a")).await), (Ok(charged), Ok(shipped)));
}

/// Also when an argument that is no part of key and fingerprint was added.
async fn a_renamed_function_is_still_itself(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "charge", key = order.id, fingerprint = order.amount)]
    async fn charge_card(shop: &Shop, order: &Order, attempts: u32) -> Result<Receipt, ShopError> {
        assert_eq!(attempts, 0);
        Ok(shop.charge(order))
    }
    let first = charge(&one, order("a")).await;
    assert_eq!(charge_card(&other, &order("a"), 3).await, first);
    assert_eq!(one.charges(), 1);
}

#[idempotent(handle = shop.idempotency, name = "refund", principal = customer, key = id)]
async fn refund(shop: &Shop, customer: Option<u64>, id: &str) -> Result<usize, ShopError> {
    Ok(shop.charge(&order(id)).charge)
}

async fn principals_with_one_key_never_meet(one: Shop, other: Shop) {
    let told = [refund(&one, Some(1), "a").await, refund(&one, Some(2), "a").await, refund(&other, Some(1), "a").await];
    assert_eq!(told, [Ok(1), Ok(2), Ok(1)]);
    // All that is kept of a customer goes at once, from functions as from handlers.
    let erased = one.idempotency.forget_principal(&Principal::part(&Some(1_u64)), IfRunning::Refuse).await.unwrap();
    assert_eq!(erased.removed, 1);
}

async fn what_comes_to_nothing_is_an_error(one: Shop, _: Shop) {
    assert_eq!(refund(&one, None, "a").await, guard(GuardError::PrincipalMissing { function: "refund" }));
    assert_eq!(refund(&one, Some(1), "").await, guard(GuardError::KeyMissing { function: "refund" }));
    assert_eq!(one.charges(), 0);
}

async fn an_operator_finds_a_functions_calls_by_its_name(one: Shop, other: Shop) {
    charge(&one, order("a")).await.unwrap();
    ship(&one, order("a")).await.unwrap();
    let charges = Principal::function("charge");
    let all = other.idempotency.list(&RecordQuery::new(10).states([RecordState::Finished])).await.unwrap();
    let found: Vec<_> = all.iter().filter(|record| record.principal == charges.as_str()).collect();
    assert_eq!(all.len(), 2);
    let [record] = found.as_slice() else { panic!("{all:?}") };
    assert!(record.key.starts_with("charge→"), "{record:?}");
    assert_eq!((record.state, record.status), (RecordState::Finished, Some(200)), "{record:?}");
    let shown = other.idempotency.show(&charges, &record.key).await.unwrap();
    assert!(shown.is_some());
}

async fn a_namespace_is_one_for_functions_too(one: Shop, other: Shop) {
    let shop = |of: &Shop, name: &str| of.by(of.idempotency.clone().namespace(name).unwrap());
    let (north, south) = (shop(&one, "north"), shop(&other, "south"));
    let told = [charge(&north, order("a")).await, charge(&south, order("a")).await, charge(&one, order("a")).await];
    assert_eq!(told.map(|told| told.unwrap().charge), [1, 2, 3]);
    assert_eq!(charge(&shop(&other, "north"), order("a")).await.unwrap().charge, 1);
}

/// The derived key is the same in every attempt of one call, and in no other.
#[tokio::test]
async fn a_functions_reservation_derives_keys_by_its_name_and_key() {
    #[idempotent(handle = handle, name = "one", key = id)]
    async fn one(handle: &Idempotency, id: u64, reservation: Reservation) -> Result<(String, u32), GuardError> {
        Ok((reservation.derive("charge").to_string(), reservation.attempt()))
    }
    #[idempotent(handle = handle, name = "two", key = id)]
    async fn two(handle: Arc<Idempotency>, reservation: Reservation, id: u64) -> Result<(String, u32), GuardError> {
        Ok((reservation.derive("charge").to_string(), reservation.attempt()))
    }
    let handle = Idempotency::new(MemoryStore::new());
    let derived = one(&handle, 7).await.unwrap();
    let others = [one(&handle, 8).await.unwrap(), two(Arc::new(handle.clone()), 7).await.unwrap()];
    assert!(others.iter().all(|other| other.0 != derived.0), "{derived:?} {others:?}");
    // Over a store of its own, as after the retention has ended.
    assert_eq!(one(&Idempotency::new(MemoryStore::new()), 7).await.unwrap(), derived);
    assert_eq!(derived.1, 1);
}
