import stripe


def client(api: str, timeout=30):
    return stripe.StripeClient(
        "sk_test_123",
        base_addresses={"api": api},
        max_network_retries=5,
        http_client=stripe.RequestsClient(timeout=timeout),
    )


def pay(client: stripe.StripeClient, key: str, payment: dict):
    return client.v1.payment_intents.create(payment, {"idempotency_key": key})
