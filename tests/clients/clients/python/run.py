"""Sends one payment with one client, and prints what its caller got.

run.py CLIENT MODE TARGET KEY PAYMENT TIMEOUT

MODE is `bare` (no retries asked for), `plain` (retries switched on, and nothing else said) or `safe` (as docs/clients.md
has it). TARGET is a URL, or for Stripe's SDK a service. TIMEOUT is in seconds.
"""

import json
import sys


def bare_requests(url, key, payment, timeout):
    import requests

    return requests.post(url, data=payment, headers=headers(key), timeout=timeout)


def plain_requests(url, key, payment, timeout):
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    http = requests.Session()
    http.mount("http://", HTTPAdapter(max_retries=Retry(2)))
    return http.post(url, data=payment, headers=headers(key), timeout=timeout)


def bare_httpx(url, key, payment, timeout):
    import httpx

    return httpx.post(url, content=payment, headers=headers(key), timeout=timeout)


def plain_httpx(url, key, payment, timeout):
    import httpx
    from httpx_retries import RetryTransport

    http = httpx.Client(transport=RetryTransport())
    return http.post(url, content=payment, headers=headers(key), timeout=timeout)


def bare_stripe(api, key, payment, timeout):
    return plain_stripe(api, key, payment, timeout, None)


def plain_stripe(api, key, payment, timeout, retries=2):
    """Stripe's SDK makes a key itself."""
    import stripe

    client = stripe.StripeClient(
        "sk_test_123",
        base_addresses={"api": api},
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=timeout),
    )
    return client.v1.payment_intents.create(payment)


def headers(key):
    return {"Idempotency-Key": f'"{key}"', "Content-Type": "application/json"}


def pay(client, mode, target, key, payment, timeout):
    payment = json.loads(payment) if client == "stripe" else payment.encode()
    if mode != "safe":
        answer = globals()[f"{mode}_{client}"](target, key, payment, timeout)
    elif client == "stripe":
        import with_stripe

        answer = with_stripe.pay(with_stripe.client(target, timeout), key, payment)
    else:
        answer = __import__(f"with_{client}").pay(target, key, payment, timeout)
    if client == "stripe":
        return {"status": answer.last_response.code, "body": answer.last_response.body}
    return {"status": answer.status_code, "body": answer.text}


client, mode, target, key, payment, timeout = sys.argv[1:]
try:
    told = pay(client, mode, target, key, payment, float(timeout))
except (ImportError, KeyError, NameError, AttributeError):
    raise
except Exception as error:
    told = {"error": f"{type(error).__name__}: {error}"}
    if status := getattr(error, "http_status", None):
        told["status"] = status
print(json.dumps(told))
