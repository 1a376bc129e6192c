//! What Stripe's SDKs make of a refusal: problem details are nothing to them, and `Idempotency::problems` can say it
//! their way.

use crate::programs::{Client, Intent, Mode, Told};
use crate::stage::{KEY, Outcome, Stage};
use crate::till::Till;
use crate::wire::Trouble::Panic;

/// The key's second request is another one, which is refused with this status.
async fn conflict(client: Client, till: &Till, status: u16) -> Told {
    let intent = |payment| Intent { url: format!("http://{}", till.address()), key: KEY, payment, timeout: 30 };
    let first = client.pay(Mode::Safe, &intent(r#"{"amount": 1200, "currency": "eur"}"#)).await;
    assert_eq!((first.status, &first.error), (Some(200), &None), "{first:?}");
    let second = client.pay(Mode::Safe, &intent(r#"{"amount": 9900, "currency": "eur"}"#)).await;
    assert_eq!((second.status, till.effects().await), (Some(status), 1), "{second:?}");
    second
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_takes_problem_details_for_a_success() {
    let told = conflict(Client::StripeNode, &Till::start(&[]).await, 422).await;
    assert!(told.error.is_none() && told.body.is_some_and(|body| body.contains("idempotency_key_conflict")));
}

#[tokio::test(flavor = "multi_thread")]
async fn shaped_as_stripes_errors_a_refusal_is_one_to_both_sdks() {
    for (client, error) in [(Client::StripeNode, "idempotency"), (Client::StripePython, "IdempotencyError")] {
        let told = conflict(client, &Till::start(&[("SHAPE", "stripe")]).await, 400).await;
        assert!(told.error.as_ref().is_some_and(|told| told.contains(error)), "{client:?}: {told:?}");
    }
}

#[tokio::test]
async fn a_replay_bears_the_mark_that_stripes_clients_know() {
    let till = Till::start(&[("SHAPE", "stripe")]).await;
    let create = till.client().post("/v1/payment_intents").key(KEY).header("authorization", "Bearer sk_test_123");
    let create = create.header("content-type", "application/x-www-form-urlencoded").body("amount=1200&currency=eur");
    for mark in [None, Some("true")] {
        let answer = create.send().await.expect("the till answers");
        assert_eq!((answer.status.as_u16(), answer.header("idempotent-replayed")), (200, mark), "{answer:?}");
    }
}

/// A handler with a reservation panics after its effect: the key is free, and who sends it again pays twice.
async fn panic(client: Client, variables: &'static [(&'static str, &'static str)]) -> Outcome {
    Stage::before(Till::start(variables).await, client, &[Panic]).await.pay(Mode::Safe).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_send_a_panics_500_again_unless_they_are_told_not_to() {
    for client in [Client::StripeNode, Client::StripePython] {
        let outcome = panic(client, &[("RESERVES", "1")]).await;
        assert_eq!((outcome.tries.len(), outcome.effects), (2, 2), "{client:?}: {outcome:?}");
        let outcome = panic(client, &[("RESERVES", "1"), ("SHAPE", "stripe")]).await;
        assert_eq!((outcome.tries.len(), outcome.effects), (1, 1), "{client:?}: {outcome:?}");
        assert!(outcome.told.error.is_some(), "{client:?}: {outcome:?}");
    }
}
