import httpx
from httpx_retries import Retry, RetryTransport

retry = Retry(
    total=5,
    allowed_methods=["POST"],
    status_forcelist=[409, 429, 502, 503, 504],
    backoff_factor=0.5,  # with full jitter, unless told otherwise
)
http = httpx.Client(transport=RetryTransport(retry=retry))


def pay(url: str, key: str, payment: bytes, timeout=30):
    headers = {"Idempotency-Key": f'"{key}"', "Content-Type": "application/json"}
    return http.post(url, content=payment, headers=headers, timeout=timeout)
