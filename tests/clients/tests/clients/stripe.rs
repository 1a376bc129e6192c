//! What Stripe's SDKs make of a refusal: problem details are nothing to them, and a shape of their own is.

use crate::programs::{Client, Intent, Mode, Told};
use crate::stage::KEY;
use crate::till::Till;

/// The key's second request is another one, which is refused with 422.
async fn conflict(client: Client, till: &Till) -> Told {
    let intent = |payment| Intent { url: format!("http://{}", till.address()), key: KEY, payment, timeout: 30 };
    let first = client.pay(Mode::Safe, &intent(r#"{"amount": 1200, "currency": "eur"}"#)).await;
    assert_eq!((first.status, &first.error), (Some(200), &None), "{first:?}");
    let second = client.pay(Mode::Safe, &intent(r#"{"amount": 9900, "currency": "eur"}"#)).await;
    assert_eq!((second.status, till.effects().await), (Some(422), 1), "{second:?}");
    second
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_takes_problem_details_for_a_success() {
    let told = conflict(Client::StripeNode, &Till::start(&[]).await).await;
    assert!(told.error.is_none() && told.body.is_some_and(|body| body.contains("idempotency_key_conflict")));
}

#[tokio::test(flavor = "multi_thread")]
async fn shaped_as_stripes_errors_a_refusal_is_one_to_both_sdks() {
    let till = Till::start(&[("SHAPE", "stripe")]).await;
    let node = conflict(Client::StripeNode, &till).await;
    assert!(node.error.as_ref().is_some_and(|error| error.contains("different request")), "{node:?}");
    let python = conflict(Client::StripePython, &Till::start(&[("SHAPE", "stripe")]).await).await;
    assert!(python.error.as_ref().is_some_and(|error| error.starts_with("IdempotencyError")), "{python:?}");
}
