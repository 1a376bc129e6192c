//! Whose a key is, and which calls are one.

use cratestack_runtime::{GuardError, idempotent};

use crate::shop::{Order, Receipt, Shop, ShopError, order};

crate::over_all! {
    a_call_runs_once_and_is_told_again,
}

#[idempotent(handle = shop.idempotency, name = "charge", key = order.id, fingerprint = order.amount)]
async fn charge(shop: &Shop, order: Order) -> Result<Receipt, ShopError> {
    Ok(shop.charge(&order))
}

async fn a_call_runs_once_and_is_told_again(one: Shop, other: Shop) {
    let first = charge(&one, order("a")).await;
    assert_eq!(charge(&one, order("a")).await, first);
    assert_eq!(charge(&other, order("a")).await, first);
    assert_eq!(one.charges(), 1);
    let conflict = charge(&one, Order { amount: 7, ..order("a") }).await;
    assert_eq!(conflict, Err(ShopError::Guard(GuardError::Conflict { function: "charge" })));
}
