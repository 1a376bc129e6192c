import stripe


def pay(api: str, key: str, payment: dict, timeout=30):
    client = stripe.StripeClient(
        "sk_test_123",
        base_addresses={"api": api},
        max_network_retries=5,
        http_client=stripe.RequestsClient(timeout=timeout),
    )
    return client.v1.payment_intents.create(payment, {"idempotency_key": key})
